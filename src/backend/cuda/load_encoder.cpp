#include "backend/cuda/load_encoder.h"

#include <algorithm>
#include <utility>

#include "backend/cuda/check.h"
#include "base/check.h"
#include "base/math.h"
#include "kernels/cuda/encode/encode.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/tile_layout.h"
#include "kernels/cuda/weight_formats.h"

namespace tq::cuda {
namespace {

constexpr int64_t kStageBytes = int64_t{16} << 20;
constexpr int64_t kPlaneBytes = int64_t{8} << 20;
constexpr uint32_t kNone = 0xffffffff;

// Codes and gains of native rows, one behind the other.
int64_t gains_offset(const WeightView& rows) {
  return round_up(rows.rows * rows.code_row_bytes(), Buffer::kAlignment);
}
int64_t native_bytes(const WeightView& rows) {
  return gains_offset(rows) + rows.rows * rows.gains_per_row() * int64_t{sizeof(uint16_t)};
}

}  // namespace

LoadEncoder::LoadEncoder(DeviceMemory& memory, MakePlace make_place)
    : memory_(memory), make_place_(std::move(make_place)), first_bad_(kNone) {
  check(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "making a stream");
  check(cudaStreamCreateWithFlags(&kernels_, cudaStreamNonBlocking), "making a stream");
  for (Slot& slot : slots_) {
    check(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "making an event");
    check(cudaEventCreateWithFlags(&slot.consumed, cudaEventDisableTiming), "making an event");
  }
}

LoadEncoder::~LoadEncoder() {
  cudaStreamSynchronize(copies_);  // a load that failed may have left work
  cudaStreamSynchronize(kernels_);
  free_host();
  for (const Slot& slot : slots_) {
    cudaEventDestroy(slot.copied);
    cudaEventDestroy(slot.consumed);
  }
  cudaStreamDestroy(copies_);
  cudaStreamDestroy(kernels_);
}

int64_t LoadEncoder::staging_bytes() {
  return int64_t{kSlots} * kStageBytes + kPlaneBytes + int64_t{Buffer::kAlignment};
}

WeightView LoadEncoder::encode(const WeightView& weight, const EncodeSource& source,
                               const EncodeOptions& options) {
  TQ_CHECK(weight.experts == 1 && has_encoder(weight.format), "a weight that cannot be encoded");
  WeightView tile = weight;
  tile.rows = kTileRows;
  const int64_t source_row = weight.in * dtype_info(source.dtype).bytes;
  reserve(std::max(kStageBytes, kTileRows * source_row), std::max(kPlaneBytes, native_bytes(tile)));
  const int64_t tiles_at_once =
      std::min(slot_bytes_ / (kTileRows * source_row), plane_bytes_ / native_bytes(tile));
  const int64_t rows_at_once = tiles_at_once * kTileRows;
  const int64_t tile_size = tile_bytes(code_kind(weight.format), weight.group, weight.in_padded);
  uint8_t* place = make_place_(weight);
  for (int64_t row = 0; row < weight.rows; row += rows_at_once) {
    WeightView rows = weight;
    rows.rows = std::min(rows_at_once, weight.rows - row);
    encode_rows(rows, row, source, options, place + row / kTileRows * tile_size);
  }
  ++n_encoded_;
  WeightView placed = weight;
  placed.codes = place;
  placed.gains = nullptr;
  return placed;
}

void LoadEncoder::encode_rows(const WeightView& rows, int64_t first, const EncodeSource& source,
                              const EncodeOptions& options, uint8_t* place) {
  const Slot& slot = slots_[next_slot_++ % kSlots];
  check(cudaEventSynchronize(slot.consumed), "compressing weights");
  source.read(first, rows.rows, slot.host);
  const int64_t bytes = rows.rows * rows.in * dtype_info(source.dtype).bytes;
  check(cudaMemcpyAsync(slot.device, slot.host, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                        copies_),
        "copying to the GPU");
  check(cudaEventRecord(slot.copied, copies_), "recording an event");
  check(cudaStreamWaitEvent(kernels_, slot.copied, 0), "waiting for an event");
  WeightView native = rows;
  native.codes = planes_;
  native.gains = reinterpret_cast<const uint16_t*>(planes_ + gains_offset(rows));
  cuda::encode({source.dtype, slot.device, native, options, bad_on_device_, n_encoded_}, kernels_);
  check(cudaEventRecord(slot.consumed, kernels_), "recording an event");
  relayout(native, place, kernels_);
}

int64_t LoadEncoder::finish() {
  drain();
  n_encoded_ = 0;
  const uint32_t bad = std::exchange(first_bad_, kNone);
  return bad == kNone ? -1 : int64_t{bad};
}

void LoadEncoder::drain() {
  if (staging_.empty()) return;
  uint32_t bad = kNone;
  check(cudaMemcpyAsync(&bad, bad_on_device_, sizeof(bad), cudaMemcpyDeviceToHost, kernels_),
        "copying from the GPU");
  check(cudaStreamSynchronize(kernels_), "compressing weights");
  first_bad_ = std::min(first_bad_, bad);
  staging_ = {};
  slot_bytes_ = plane_bytes_ = 0;
  free_host();
}

void LoadEncoder::free_host() {
  for (Slot& slot : slots_) cudaFreeHost(std::exchange(slot.host, nullptr));
}

void LoadEncoder::reserve(int64_t slot_bytes, int64_t plane_bytes) {
  if (slot_bytes <= slot_bytes_ && plane_bytes <= plane_bytes_) return;
  slot_bytes = round_up(std::max(slot_bytes, slot_bytes_), Buffer::kAlignment);
  plane_bytes = round_up(std::max(plane_bytes, plane_bytes_), Buffer::kAlignment);
  drain();
  const int64_t planes_begin = int64_t{kSlots} * slot_bytes;
  const int64_t bad_begin = planes_begin + plane_bytes;
  staging_ = memory_.allocate(static_cast<size_t>(bad_begin + int64_t{Buffer::kAlignment}));
  planes_ = staging_.data() + planes_begin;
  bad_on_device_ = reinterpret_cast<uint32_t*>(staging_.data() + bad_begin);
  check(cudaMemsetAsync(bad_on_device_, 0xff, sizeof(kNone), kernels_), "clearing memory");
  uint8_t* device = staging_.data();
  for (Slot& slot : slots_) {
    void* host = nullptr;
    check(cudaHostAlloc(&host, static_cast<size_t>(slot_bytes), cudaHostAllocDefault),
          "allocating pinned memory");
    slot.host = static_cast<uint8_t*>(host);
    slot.device = device;
    device += slot_bytes;
  }
  slot_bytes_ = slot_bytes;
  plane_bytes_ = plane_bytes;
}

}  // namespace tq::cuda
