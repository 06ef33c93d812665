// LoadEncoder: compression at load. Rows go through a ring of buffers (pinned, then on the device),
// are encoded to native planes and re-laid from there to their place, so that reading, copying and
// encoding overlap. Owned by the backend; used by one thread.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <functional>

#include "backend/cuda/device_memory.h"
#include "backend/weight_encoder.h"
#include "tensor/buffer.h"

namespace tq::cuda {

class LoadEncoder final : public WeightEncoder {
 public:
  // Device memory for a weight that is re-laid.
  using MakePlace = std::function<uint8_t*(const WeightView&)>;
  // Takes no memory before the first encode(). `memory` must outlive the encoder.
  LoadEncoder(DeviceMemory& memory, MakePlace make_place);
  ~LoadEncoder() override;
  LoadEncoder(const LoadEncoder&) = delete;
  LoadEncoder& operator=(const LoadEncoder&) = delete;

  WeightView encode(const WeightView& weight, const EncodeSource& source,
                    const EncodeOptions& options) override;
  int64_t finish() override;

  // Device memory taken from encode() to finish(); more where 16 rows are beyond 16 MiB.
  static int64_t staging_bytes();

 private:
  static constexpr size_t kSlots = 3;
  struct Slot {
    uint8_t* host = nullptr;         // pinned
    uint8_t* device = nullptr;       // in staging_
    cudaEvent_t copied = nullptr;    // to the device
    cudaEvent_t consumed = nullptr;  // by the encoder: the slot is free
  };

  // Makes room for slots and planes of such sizes.
  void reserve(int64_t slot_bytes, int64_t plane_bytes);
  // Waits, notes the first bad weight and frees the memory.
  void drain();
  void free_host();
  // Rows of the source from `first` on, as many as `rows` has, to `place`.
  void encode_rows(const WeightView& rows, int64_t first, const EncodeSource& source,
                   const EncodeOptions& options, uint8_t* place);

  DeviceMemory& memory_;
  MakePlace make_place_;
  cudaStream_t copies_ = nullptr;
  cudaStream_t kernels_ = nullptr;
  std::array<Slot, kSlots> slots_{};
  size_t next_slot_ = 0;
  int64_t slot_bytes_ = 0;  // of each
  int64_t plane_bytes_ = 0;
  Buffer staging_;  // slots, planes, and where the encoder tells of a bad weight
  uint8_t* planes_ = nullptr;
  uint32_t* bad_on_device_ = nullptr;
  uint32_t n_encoded_ = 0;
  uint32_t first_bad_;
};

}  // namespace tq::cuda
