#include "base/file_faults.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <string>

namespace tq {
namespace {

// Read by the signal handler, so without locks: a place is taken while `begin` is not 0, and `end`
// is set before that.
struct Mapping {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> faulty{false};
};
constexpr size_t kMaxMappings = 4096;
std::array<Mapping, kMaxMappings> g_mappings;
std::atomic<int> g_n_faulty{0};  // of g_mappings

std::mutex g_names_mutex;                       // for what the handler does not touch:
std::array<std::string, kMaxMappings> g_names;  // of g_mappings
std::string g_first_faulty;                     // the name of the first that was

struct sigaction g_before;
const auto g_page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));

// Zeros from the page of `address` to the end of the mapping: a file that was cut has no more.
// False when the system refuses.
bool replace(Mapping& mapping, uintptr_t address) {
  const uintptr_t begin = address / g_page * g_page;
  void* const place = mmap(reinterpret_cast<void*>(begin), mapping.end.load() - begin, PROT_READ,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (place == MAP_FAILED) return false;
  if (!mapping.faulty.exchange(true)) ++g_n_faulty;
  return true;
}

void pass_on(int signal_number, siginfo_t* info, void* context) {
  if ((g_before.sa_flags & SA_SIGINFO) != 0) {
    g_before.sa_sigaction(signal_number, info, context);
  } else if (g_before.sa_handler != SIG_DFL && g_before.sa_handler != SIG_IGN) {
    g_before.sa_handler(signal_number);
  } else {
    // Ends the process as it would have: the instruction is tried again, a sent signal comes again.
    std::signal(signal_number, SIG_DFL);
    if (info->si_code <= 0) std::raise(signal_number);
  }
}

void on_fault(int signal_number, siginfo_t* info, void* context) {
  const int error = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  bool handled = false;
  for (Mapping& mapping : g_mappings) {
    if (info->si_code <= 0) break;  // sent by a process: there is no address
    const uintptr_t begin = mapping.begin.load();
    if (begin == 0 || address < begin || address >= mapping.end.load()) continue;
    handled = replace(mapping, address);
    break;
  }
  if (!handled) pass_on(signal_number, info, context);
  errno = error;
}

Error fault_of(const std::string& name) {
  return {ErrorCode::kIo, name + ": was cut short or could not be read while it was in use"};
}

// Remembers the first file that could not be read; its name, or nothing. Under the mutex.
const std::string* find_faulty() {
  if (g_n_faulty.load() == 0) return nullptr;
  for (size_t i = 0; i < kMaxMappings; ++i) {
    if (!g_mappings[i].faulty.load()) continue;
    if (g_first_faulty.empty()) g_first_faulty = g_names[i];
    return &g_names[i];
  }
  return nullptr;
}

}  // namespace

void catch_file_faults() {
  static const bool once = [] {
    sigaction(SIGBUS, nullptr, &g_before);  // before ours can be called
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  (void)once;
}

void check_file_faults() {
  if (g_n_faulty.load(std::memory_order_relaxed) == 0) return;
  const std::scoped_lock lock(g_names_mutex);
  if (const std::string* name = find_faulty()) throw fault_of(*name);
}

std::optional<Error> first_file_fault() {
  const std::scoped_lock lock(g_names_mutex);
  find_faulty();
  if (g_first_faulty.empty()) return std::nullopt;
  return fault_of(g_first_faulty);
}

void add_file_mapping(const void* begin, size_t size_bytes, const std::filesystem::path& path) {
  const std::scoped_lock lock(g_names_mutex);
  const auto address = reinterpret_cast<uintptr_t>(begin);
  for (size_t i = 0; i < kMaxMappings; ++i) {
    Mapping& mapping = g_mappings[i];
    if (mapping.begin.load() != 0) continue;
    g_names[i] = path.string();
    mapping.end.store(address + (size_bytes + g_page - 1) / g_page * g_page);
    mapping.begin.store(address);
    return;
  }
}

void remove_file_mapping(const void* begin) {
  const std::scoped_lock lock(g_names_mutex);
  for (Mapping& mapping : g_mappings) {
    if (mapping.begin.load() != reinterpret_cast<uintptr_t>(begin)) continue;
    find_faulty();  // it is told later, too
    mapping.begin.store(0);
    if (mapping.faulty.exchange(false)) --g_n_faulty;
  }
}

}  // namespace tq
