// Device: the memory that a backend's operators work on, and how weights get there. The thread that
// calls the operators (operators.h) drives it; that may be another than it was made on, once it has
// called attach_thread().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/weight_encoder.h"
#include "format/traits.h"
#include "kernels/ops/kv.h"
#include "tensor/buffer.h"

namespace tq {

class Device {
 public:
  virtual ~Device() = default;
  // Makes this thread one that may drive the device, if no other does.
  virtual void attach_thread() {}
  // Bytes of device memory in use and at most; 0 where that is the host's.
  virtual int64_t memory_used() const { return 0; }
  virtual int64_t memory_limit() const { return 0; }

  // Device memory, 64-byte aligned; for load time and planning, never called by forward.
  virtual Buffer allocate(size_t size_bytes) = 0;
  // Host memory, for what upload and download move.
  virtual Buffer allocate_host(size_t size_bytes) = 0;
  // True when device memory is host memory: pointers mean the same, nothing needs to be moved.
  virtual bool on_host() const = 0;
  // Copies host memory, which may change once the call returns, to the device: before the
  // operators that are called later.
  virtual void upload(const void* from, void* to, size_t size_bytes) = 0;
  // Copies device memory, as the operators called before leave it, to the host.
  virtual void download(const void* from, void* to, size_t size_bytes) = 0;
  // Copies device memory, as the operators called before leave it, within the device: before the
  // operators that are called later. Here by way of the host.
  virtual void copy(const void* from, void* to, size_t size_bytes);
  // Copies a page of every plane, one behind the other, to or from host memory of allocate_host(),
  // in the order of the operators. May return before it is done: the host does not look.
  virtual void save_page(std::span<const PagePlane> planes, int32_t page, std::byte* host);
  virtual void load_page(std::span<const PagePlane> planes, int32_t page, const std::byte* host);
  // A weight in host memory, where and how the operators read it: itself, or a copy that is in
  // `storage` or lives as long as the device. What comes back must not be sliced by rows.
  virtual WeightView import_weight(const WeightView& weight, Buffer& storage) = 0;
  // Device memory that import_weight() takes for all of these, whose codes and gains are not read.
  virtual int64_t placed_bytes(std::span<const WeightView> /*weights*/) const { return 0; }
  // Compresses weights on the device; null where the host has to. Lives as long as the device.
  virtual WeightEncoder* encoder() { return nullptr; }
  // Whether it writes the format; the host has to write others.
  virtual bool encodes(FormatId /*format*/) const { return false; }
  // Device memory that the encoder takes until it is told to finish(); 0: there is none.
  virtual int64_t encoder_bytes() const { return 0; }
};

}  // namespace tq
