#include "base/file_faults.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "support/sanitized.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::TempDir;
using fixtures::write_bytes;

constexpr size_t kPages = 8;
const auto kPageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// The handler is for the whole process and for good, so each test runs in a process of its own; it
// leaves with 0, or with the number of the check that failed.
void leave_unless(bool ok, int check) {
  if (!ok) std::_Exit(check);
}

fs::path write_pages(const TempDir& dir, const char* name) {
  write_bytes(dir / name, std::string(kPages * kPageBytes, 'x'));
  return dir / name;
}

int sum(const MappedFile& file) {
  int total = 0;
  for (const uint8_t byte : file.bytes()) total += byte;
  return total;
}

std::string message_of_check() {
  try {
    check_file_faults();
  } catch (const Error& error) {
    return error.code() == ErrorCode::kIo ? error.what() : "another code";
  }
  return "";
}

void read_a_cut_file(const TempDir& dir) {
  catch_file_faults();
  catch_file_faults();  // once more changes nothing
  const fs::path path = write_pages(dir, "cut");
  const std::string expected =
      path.string() + ": was cut short or could not be read while it was in use";
  const MappedFile whole(write_pages(dir, "whole"));
  {
    const MappedFile file(path);
    leave_unless(sum(file) == static_cast<int>(kPages * kPageBytes) * 'x', 1);
    leave_unless(message_of_check().empty() && !first_file_fault(), 2);
    fs::resize_file(path, 2 * kPageBytes);
    // All threads read zeros from the new end on.
    std::vector<int> sums(4);
    std::vector<std::thread> threads;
    for (int& total : sums) threads.emplace_back([&] { total = sum(file); });
    for (std::thread& thread : threads) thread.join();
    for (const int total : sums) leave_unless(total == static_cast<int>(2 * kPageBytes) * 'x', 3);
    leave_unless(message_of_check() == expected, 4);
  }
  // The file is in use no more, but it was.
  leave_unless(message_of_check().empty(), 5);
  leave_unless(first_file_fault().has_value() && first_file_fault()->what() == expected, 6);
  leave_unless(sum(whole) == static_cast<int>(kPages * kPageBytes) * 'x', 7);
  std::_Exit(0);
}

TEST(FileFaults, ACutFileReadsAsZerosAndIsNamed) {
  const TempDir dir;
  EXPECT_EXIT(read_a_cut_file(dir), ::testing::ExitedWithCode(0), "");
}

// A page of a file beyond its end, in a mapping that MappedFile does not know.
const volatile char* foreign_page(const TempDir& dir) {
  const fs::path path = write_pages(dir, "foreign");
  std::FILE* const file = std::fopen(path.c_str(), "r");
  void* const page = mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, fileno(file), 0);
  fs::resize_file(path, 0);
  return static_cast<const char*>(page);
}

void leave_from_handler(int /*signal*/) { std::_Exit(0); }
void leave_from_long_handler(int /*signal*/, siginfo_t* info, void* /*context*/) {
  std::_Exit(info->si_addr != nullptr ? 0 : 1);
}

TEST(FileFaults, OthersGoToTheHandlerThatWasThere) {
  const TempDir dir;
  const auto read_with = [&](bool long_handler) {
    struct sigaction action {};
    if (long_handler) {
      action.sa_sigaction = leave_from_long_handler;
      action.sa_flags = SA_SIGINFO;
    } else {
      action.sa_handler = leave_from_handler;
    }
    sigaction(SIGBUS, &action, nullptr);
    catch_file_faults();
    (void)*foreign_page(dir);
    std::_Exit(2);
  };
  EXPECT_EXIT(read_with(false), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(read_with(true), ::testing::ExitedWithCode(0), "");
}

#if !defined(TQ_SANITIZED)  // whose own handler was there
TEST(FileFaults, WithoutOneTheyEndTheProcess) {
  const TempDir dir;
  const auto read = [&] {
    catch_file_faults();
    (void)*foreign_page(dir);
  };
  EXPECT_EXIT(read(), ::testing::KilledBySignal(SIGBUS), "");
  const auto send = [] {
    catch_file_faults();
    std::raise(SIGBUS);
  };
  EXPECT_EXIT(send(), ::testing::KilledBySignal(SIGBUS), "");
}
#endif

}  // namespace
}  // namespace tq
