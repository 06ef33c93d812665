// The three things that the static libstdc++ and libgcc of Debian 12 take from a C library newer
// than the one that the portable tarball runs with (scripts/package.sh links this in; nothing else
// uses it).
#include <dlfcn.h>
#include <link.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

// glibc 2.32: "no other thread was ever started", a hint that spares atomic operations. Never
// given.
extern "C" {
char __libc_single_threaded = 0;
}

// glibc 2.36; std::random_device reads it.
extern "C" std::uint32_t arc4random() noexcept {
  std::uint32_t value = 0;
  ssize_t got = 0;
  do {
    got = getrandom(&value, sizeof value, 0);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof value) std::abort();
  return value;
}

namespace {

struct Search {
  std::uintptr_t address;
  dl_find_object* result;
};

// True (and ends the walk) for the object whose segments hold the address.
int look_at(dl_phdr_info* info, std::size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  std::uintptr_t begin = UINTPTR_MAX;
  std::uintptr_t end = 0;
  void* eh_frame = nullptr;
  bool inside = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    const std::uintptr_t start = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_GNU_EH_FRAME) eh_frame = reinterpret_cast<void*>(start);
    if (header.p_type != PT_LOAD) continue;
    if (start < begin) begin = start;
    if (start + header.p_memsz > end) end = start + header.p_memsz;
    inside = inside || (search->address >= start && search->address < start + header.p_memsz);
  }
  if (!inside || eh_frame == nullptr) return 0;
  *search->result = {};
  search->result->dlfo_map_start = reinterpret_cast<void*>(begin);
  search->result->dlfo_map_end = reinterpret_cast<void*>(end);
  search->result->dlfo_eh_frame = eh_frame;
  return 1;
}

}  // namespace

// glibc 2.35: where the unwinding table of a piece of code is; exceptions need it.
extern "C" int _dl_find_object(void* address, dl_find_object* result) noexcept {
  Search search{reinterpret_cast<std::uintptr_t>(address), result};
  return dl_iterate_phdr(look_at, &search) == 1 ? 0 : -1;
}
