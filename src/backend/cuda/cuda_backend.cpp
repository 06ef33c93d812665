// The CUDA backend: the operators' launchers (kernels/cuda/ops.h) on one stream, weights re-laid as
// they arrive, and steps that repeat as CUDA graphs.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/check.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/load_encoder.h"
#include "backend/cuda/product_options.h"
#include "backend/cuda/uploader.h"
#include "backend/devices.h"
#include "base/check.h"
#include "base/log.h"
#include "base/math.h"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/sample/sample.h"
#include "kernels/cuda/tile_layout.h"
#include "kernels/cuda/weight_formats.h"

namespace tq {
namespace {

// Codes and gains on their way from the native layout to that of the tiles.
constexpr int64_t kStagingBytes = int64_t{16} << 20;
// Graphs that are kept: a decode step of many batch sizes and lengths.
constexpr size_t kMostGraphs = 96;

class CudaStream {
 public:
  explicit CudaStream(int device) {
    cuda::check(cudaSetDevice(device), "choosing the GPU");
    cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }
  ~CudaStream() { cudaStreamDestroy(stream_); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// Orders what two streams do.
class CudaEvent {
 public:
  CudaEvent() {
    cuda::check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "an event");
  }
  ~CudaEvent() { cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  // What `later` is given from now on waits for what `earlier` has been given.
  void order(cudaStream_t earlier, cudaStream_t later) {
    cuda::check(cudaEventRecord(event_, earlier), "recording an event");
    cuda::check(cudaStreamWaitEvent(later, event_, 0), "waiting for an event");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// A step that was recorded: run as it is the first time, recorded the second time, replayed then.
struct Recording {
  uint64_t key = 0;
  cudaGraphExec_t graph = nullptr;
  uint64_t last_use = 0;  // 0: this place is free
};

void release_pinned(uint8_t* memory) {
  if (memory != nullptr) cudaFreeHost(memory);
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options);
  ~CudaBackend() override;

  std::string_view name() const override { return "cuda"; }
  std::string description() const override { return description_; }
  bool exact() const override { return exact_; }
  bool has_kernels(FormatId format) const override { return cuda::has_kernels(format); }
  bool has_kernels(KvFormatId format) const override { return cuda::has_kernels(format); }
  bool has_sinks() const override { return false; }
  void attach_thread() override { cuda::check(cudaSetDevice(device_), "choosing the GPU"); }
  bool on_host() const override { return false; }
  int64_t memory_used() const override { return memory_.used(); }
  int64_t memory_limit() const override { return memory_.limit(); }
  Buffer allocate(size_t size_bytes) override { return memory_.allocate(size_bytes); }
  Buffer allocate_host(size_t size_bytes) override;
  void upload(const void* from, void* to, size_t size_bytes) override {
    uploader_.copy(from, to, size_bytes);
  }
  void download(const void* from, void* to, size_t size_bytes) override;
  void copy(const void* from, void* to, size_t size_bytes) override {
    cuda::check(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToDevice, stream()),
                "a copy within the GPU");
  }
  void save_page(std::span<const PagePlane> planes, int32_t page, std::byte* host) override;
  void load_page(std::span<const PagePlane> planes, int32_t page, const std::byte* host) override;
  WeightView import_weight(const WeightView& weight, Buffer& storage) override;
  int64_t placed_bytes(std::span<const WeightView> weights) const override;
  WeightEncoder* encoder() override { return &encoder_; }
  bool encodes(FormatId format) const override { return cuda::has_encoder(format); }
  int64_t encoder_bytes() const override { return cuda::LoadEncoder::staging_bytes(); }

  size_t activation_bytes(int64_t tokens, int64_t in_padded, int group,
                          InputForm form) const override {
    return cuda::activation_bytes(tokens, in_padded, group, form, exact_);
  }
  Activation prepare(const PrepareArgs& args) override {
    return cuda::prepare(args, exact_, stream());
  }
  void matmul(const MatmulArgs& args) override { cuda::matmul(args, products(), stream()); }
  void matmul_experts(const ExpertMatmulArgs& args) override {
    cuda::matmul_experts(args, products(), stream());
  }
  void matmul_heads(const HeadMatmulArgs& args) override {
    cuda::matmul_heads(args, products(), stream());
  }
#define TQ_LAUNCH(name, Args) \
  void name(const Args& args) override { cuda::name(args, stream()); }
  TQ_SIMPLE_OPERATORS(TQ_LAUNCH)
#undef TQ_LAUNCH
  void attention(const AttentionArgs& args) override;
  bool samples() const override { return true; }
  void sample(const SampleArgs& args) override { cuda::sample(args, stream()); }

  void next_inputs(const NextInputsArgs& args) override;
  void matmul_shared(std::span<const MatmulArgs> products) override;
  void matmul_gated(const GatedMatmulArgs& args) override;
  void matmul_gated_experts(const GatedExpertsArgs& args) override;
  void attention_inputs(const AttentionInputsArgs& args) override {
    cuda::attention_inputs(args, stream());
  }
  void latent_inputs(const LatentInputsArgs& args) override { cuda::latent_inputs(args, stream()); }
  Activation attention_prepared(const AttentionInputsArgs& inputs, const AttentionArgs& args,
                                const PrepareArgs& next) override {
    return cuda::attention_prepared(inputs, args, attention_options(), next, exact_, stream());
  }
  Activation attention_prepared(const LatentInputsArgs& inputs, const AttentionArgs& args,
                                const PrepareArgs& next) override {
    return cuda::attention_prepared(inputs, args, attention_options(), next, exact_, stream());
  }
  void route_tokens(const RouterArgs& args) override;
  Activation prepare_normed(const RmsNormArgs& norm, const PrepareArgs& args) override {
    if (exact_ || args.form == InputForm::kPlain) return Backend::prepare_normed(norm, args);
    return cuda::prepare_normed(norm, args, stream());
  }
  Activation prepare_strided(const PrepareArgs& args, int64_t stride, float*) override {
    if (fuses() && cuda::supports_later(args)) return cuda::prepare_later(args, stride);
    return cuda::prepare_strided(args, stride, exact_, stream());
  }
  size_t attention_bytes(const AttentionArgs& args) const override {
    return cuda::attention_bytes(args);
  }
  void run_beside(const std::function<void()>& side, const std::function<void()>& main) override;
  void run_recorded(uint64_t key, const std::function<void()>& operators) override;

 private:
  cudaStream_t stream() const { return current_; }
  cuda::ProductOptions products() const { return products_.options(current_ != stream_.get()); }
  // Whether kernels that fuse what lies between products may run.
  bool fuses() const { return !exact_ && products_.tier() != cuda::Tier::kReference; }
  cuda::AttentionOptions attention_options();
  uint8_t* make_place(const WeightView& weight);
  void relayout_rows(const WeightView& rows, uint8_t* out);
  void record(const std::function<void()>& operators, Recording& recording);
  // The recording of the key; one that is forgotten for it if need be.
  Recording& find_recording(uint64_t key);

  const int device_;
  const bool exact_;
  const bool graphs_;
  const int64_t decode_up_to_;  // sequences of a decode step
  const bool fast_prompts_;
  std::string description_;
  CudaStream stream_;
  CudaStream side_stream_;
  CudaEvent fork_, join_;
  cudaStream_t current_ = stream_.get();  // that operators go to
  cuda::DeviceMemory memory_;
  cuda::Slabs weights_{memory_};
  cuda::BackendProducts products_;
  cuda::Uploader uploader_;
  cuda::LoadEncoder encoder_{memory_, [this](const WeightView& w) { return make_place(w); }};
  Buffer staging_;
  Buffer counters_;  // of kernels whose last block ends the work; 0 whenever none runs
  std::array<Recording, kMostGraphs> recordings_{};
  uint64_t n_runs_ = 0;
};

CudaBackend::CudaBackend(const CudaOptions& options)
    : device_(options.device),
      exact_(options.exact),
      graphs_(options.graphs),
      decode_up_to_(options.batch_invariant ? 0 : cuda::kMostDecodeSeqs),
      fast_prompts_(!options.batch_invariant && !options.exact),
      stream_(options.device),
      side_stream_(options.device),
      memory_(options.device, options.memory_bytes),
      products_(options),
      uploader_(stream_.get()) {
  const std::vector<uint32_t> zeros(
      static_cast<size_t>(cuda::attention_counters() + cuda::router_counters()));
  counters_ = memory_.allocate(zeros.size() * sizeof(uint32_t));
  upload(zeros.data(), counters_.data(), counters_.size_bytes());
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, options.device), "asking for properties");
  const cuda::GpuTarget target = cuda::gpu_target();
  description_ = fmt::format("cuda, {}, sm_{}{}, {} kernels for sm_{}{}, {} activations",
                             properties.name, properties.major, properties.minor, options.kernels,
                             target.compute, target.sm90a ? "a" : "", exact_ ? "fp32" : "int8");
  if (target.compiled_by_driver) {
    info(
        "GPU kernels: built for sm_{} and compiled for this GPU by its driver, which keeps them; a "
        "build with CUDAARCHS=native has all of its instructions and starts at once",
        target.compute);
  }
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream());
  for (const Recording& recording : recordings_) {
    if (recording.graph != nullptr) cudaGraphExecDestroy(recording.graph);
  }
}

Buffer CudaBackend::allocate_host(size_t size_bytes) {
  if (size_bytes == 0) return {};
  void* memory = nullptr;
  if (cudaHostAlloc(&memory, size_bytes, cudaHostAllocDefault) != cudaSuccess) {
    cudaGetLastError();
    fail(ErrorCode::kOutOfMemory, "no {} bytes of pinned memory", size_bytes);
  }
  return {static_cast<uint8_t*>(memory), size_bytes, release_pinned};
}

void CudaBackend::download(const void* from, void* to, size_t size_bytes) {
  cuda::check(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToHost, stream()),
              "copying from the GPU");
  cuda::check(cudaStreamSynchronize(stream()), "running the model");
}

void CudaBackend::save_page(std::span<const PagePlane> planes, int32_t page, std::byte* host) {
  if (!cuda::moves_pages(planes, host)) return Device::save_page(planes, page, host);
  cuda::save_page(planes, page, host, stream());
}

void CudaBackend::load_page(std::span<const PagePlane> planes, int32_t page,
                            const std::byte* host) {
  if (!cuda::moves_pages(planes, host)) return Device::load_page(planes, page, host);
  cuda::load_page(planes, page, host, stream());
}

// A matrix in tiles is followed by its own address, so that it can be used as a stack of one.
size_t own_address_offset(const WeightView& weight) {
  return static_cast<size_t>(round_up(cuda::relayout_bytes(weight), 16));
}

int64_t CudaBackend::placed_bytes(std::span<const WeightView> weights) const {
  cuda::SlabLayout layout;
  int64_t bytes = kStagingBytes + int64_t{Buffer::kAlignment} + products_.bytes_for(weights);
  for (const WeightView& weight : weights) {
    bytes += static_cast<int64_t>(layout.grow(own_address_offset(weight) + sizeof(uint8_t*)));
  }
  return bytes;
}

uint8_t* CudaBackend::make_place(const WeightView& weight) {
  TQ_CHECK(weight.experts == 1, "a stack of {} matrices placed as one", weight.experts);
  products_.make_room_for(weight, memory_);
  const size_t size = own_address_offset(weight);
  uint8_t* place = weights_.take(size + sizeof(uint8_t*));
  upload(&place, place + size, sizeof(place));
  return place;
}

WeightView CudaBackend::import_weight(const WeightView& weight, Buffer& /*storage*/) {
  uint8_t* place = make_place(weight);
  WeightView placed = weight;
  placed.codes = place;
  placed.gains = nullptr;
  if (!cuda::is_rotated(weight)) {
    upload(weight.codes, place, static_cast<size_t>(weight.size_bytes()));
    return placed;
  }
  const int64_t row_bytes =
      weight.code_row_bytes() + weight.gains_per_row() * int64_t{sizeof(uint16_t)};
  const int64_t tiles_at_once = std::max<int64_t>(1, kStagingBytes / (row_bytes * cuda::kTileRows));
  const int64_t tile_bytes =
      cuda::tile_bytes(cuda::code_kind(weight.format), weight.group, weight.in_padded);
  const int64_t rows_at_once = tiles_at_once * cuda::kTileRows;
  for (int64_t row = 0; row < weight.rows; row += rows_at_once) {
    relayout_rows(weight.slice(row, std::min(rows_at_once, weight.rows - row)),
                  place + row / cuda::kTileRows * tile_bytes);
  }
  return placed;
}

void CudaBackend::relayout_rows(const WeightView& rows, uint8_t* out) {
  const int64_t code_bytes = rows.rows * rows.code_row_bytes();
  const int64_t gains_begin = round_up(code_bytes, Buffer::kAlignment);
  const int64_t gain_bytes = rows.rows * rows.gains_per_row() * int64_t{sizeof(uint16_t)};
  const auto needed = static_cast<size_t>(gains_begin + gain_bytes);
  if (staging_.size_bytes() < needed) {
    staging_ = {};
    staging_ = memory_.allocate(std::max<size_t>(needed, kStagingBytes));
  }
  upload(rows.codes, staging_.data(), static_cast<size_t>(code_bytes));
  upload(rows.gains, staging_.data() + gains_begin, static_cast<size_t>(gain_bytes));
  WeightView staged = rows;
  staged.codes = staging_.data();
  staged.gains = reinterpret_cast<const uint16_t*>(staging_.data() + gains_begin);
  cuda::relayout(staged, out, stream());
}

cuda::AttentionOptions CudaBackend::attention_options() {
  return {counters_.as<uint32_t>().data() + cuda::router_counters(), decode_up_to_, fast_prompts_};
}

void CudaBackend::attention(const AttentionArgs& args) {
  cuda::attention(args, attention_options(), stream());
}

void CudaBackend::next_inputs(const NextInputsArgs& args) {
  if (!fuses() || !cuda::supports_next_inputs(args)) return Backend::next_inputs(args);
  cuda::next_inputs(args, stream());
}

void CudaBackend::matmul_shared(std::span<const MatmulArgs> products) {
  if (fuses() && products.size() > 1 && cuda::takes_shared(products, this->products())) {
    return cuda::matmul_shared(products, stream());
  }
  Backend::matmul_shared(products);
}

void CudaBackend::matmul_gated(const GatedMatmulArgs& args) {
  const auto stack = [](const WeightView& view) {
    const uint8_t* own_address = view.codes + own_address_offset(view);
    return MatrixStack{view, 1, reinterpret_cast<const uint8_t* const*>(own_address), nullptr};
  };
  const bool biased = args.gate_bias != nullptr || args.up_bias != nullptr;
  if (fuses() && !biased &&
      cuda::takes_fused({.weight = args.gate, .x = args.x, .out = args.out}, products())) {
    const GatedExpertsArgs gated{.gate = stack(args.gate),
                                 .up = stack(args.up),
                                 .x = args.x,
                                 .begin = nullptr,
                                 .x_rows = nullptr,
                                 .pairs = args.x.tokens,
                                 .activate = args.activate,
                                 .out = args.out,
                                 .scratch = args.scratch};
    if (cuda::supports_gated(gated)) return cuda::matmul_gated_experts(gated, products(), stream());
  }
  Backend::matmul_gated(args);
}

void CudaBackend::matmul_gated_experts(const GatedExpertsArgs& args) {
  if (fuses() && cuda::takes_gated(args, products())) {
    return cuda::matmul_gated_experts(args, products(), stream());
  }
  Backend::matmul_gated_experts(args);
}

void CudaBackend::route_tokens(const RouterArgs& args) {
  if (!fuses() || products_.tier() == cuda::Tier::kDequant || !cuda::supports_router(args)) {
    return Backend::route_tokens(args);
  }
  cuda::route_tokens(args, counters_.as<uint32_t>().data(), stream());
}

void CudaBackend::run_beside(const std::function<void()>& side, const std::function<void()>& main) {
  if (current_ != stream_.get()) return Backend::run_beside(side, main);
  fork_.order(stream_.get(), side_stream_.get());
  current_ = side_stream_.get();
  try {
    side();
  } catch (...) {
    current_ = stream_.get();
    throw;
  }
  current_ = stream_.get();
  main();
  join_.order(side_stream_.get(), stream_.get());
}

void CudaBackend::run_recorded(uint64_t key, const std::function<void()>& operators) {
  if (!graphs_) return operators();
  Recording& recording = find_recording(key);
  const bool first = recording.last_use == 0;
  recording.last_use = ++n_runs_;
  if (first) return operators();  // loads kernels, which a recording cannot
  if (recording.graph == nullptr) record(operators, recording);
  cuda::check(cudaGraphLaunch(recording.graph, stream()), "replaying a step");
}

void CudaBackend::record(const std::function<void()>& operators, Recording& recording) {
  cuda::check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal),
              "recording a step");
  cudaGraph_t graph = nullptr;
  try {
    operators();
  } catch (...) {
    cudaStreamEndCapture(stream(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  cuda::check(cudaStreamEndCapture(stream(), &graph), "recording a step");
  const cudaError_t error = cudaGraphInstantiate(&recording.graph, graph, 0);
  cudaGraphDestroy(graph);
  cuda::check(error, "making a graph of a step");
}

Recording& CudaBackend::find_recording(uint64_t key) {
  Recording* oldest = recordings_.data();
  for (Recording& recording : recordings_) {
    if (recording.last_use > 0 && recording.key == key) return recording;
    if (recording.last_use < oldest->last_use) oldest = &recording;
  }
  if (oldest->graph != nullptr) {
    cuda::check(cudaStreamSynchronize(stream()), "running the model");
    cudaGraphExecDestroy(oldest->graph);
  }
  *oldest = {.key = key};
  return *oldest;
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  const CudaDevices found = list_cuda_devices();
  if (!found.problem.empty()) {
    fail(ErrorCode::kDevice, "no CUDA device can be used: {} (choose --device cpu)", found.problem);
  }
  if (options.device < 0 || options.device >= static_cast<int>(found.devices.size())) {
    fail(ErrorCode::kDevice, "there is no CUDA device {}: {} found", options.device,
         found.devices.size());
  }
  const CudaDevice& device = found.devices[static_cast<size_t>(options.device)];
  if (device.major < 8) {
    fail(ErrorCode::kDevice, "{} is of compute capability {}.{}; 8.0 or newer is needed",
         device.name, device.major, device.minor);
  }
  return std::make_unique<CudaBackend>(options);
}

}  // namespace tq
