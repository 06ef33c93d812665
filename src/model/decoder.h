// Decoder: executes a ModelSpec through the backend's operators: embedding, layers, final norm,
// head. Knows layer kinds, never an architecture's name. Weights are const; scratch and the
// batch's arrays are planned at load and reused by every pass, so one thread runs it.
#pragma once

#include <memory>
#include <vector>

#include "model/model.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace tq {

class Decoder final : public Model {
 public:
  // Limits of options that are 0 are filled in. Throws kOutOfMemory when the scratch does not fit.
  Decoder(ModelSpec spec, DecoderWeights weights, Backend& backend, LoadOptions options);

  const ModelSpec& spec() const override { return spec_; }
  Backend& backend() const override { return backend_; }
  const LoadOptions& options() const override { return options_; }
  KvLayout kv_layout() const override { return kv_; }
  int64_t weight_bytes() const override { return weights_.size_bytes; }
  int64_t bytes_per_token() const override { return weights_.bytes_per_token; }
  int64_t n_parameters() const override { return weights_.n_parameters; }
  void forward(Batch batch, KvCache& kv, std::span<float> logits) override;
  bool chooses_tokens() const override { return backend_.samples(); }
  int64_t max_token_values() const override { return max_token_values_; }
  void next_tokens(Batch batch, KvCache& kv, const TokenChoice& choice,
                   std::span<int32_t> tokens) override;
  void exclude_tokens(std::span<const int32_t> ids) override;
  void set_observer(Observer observer) override { observer_ = std::move(observer); }
  // For who only measures.
  DecoderWeights take_weights() && { return std::move(weights_); }

 private:
  // A step's arrays; T = max_batch_tokens, S = max_sequences, R = max_logit_rows, G = groups of the
  // KvLayout. What describes the batch is written on the host and, where that is another memory,
  // moved to the device.
  struct BatchArrays {
    int32_t* ids;            // [T]
    int32_t* positions;      // [T]
    int64_t* slots;          // [G, T]
    int32_t* q_begin;        // [S + 1]
    int32_t* kv_len;         // [S]
    int32_t* logit_rows;     // [R], indices into the step's tokens
    SampleRow* sample_rows;  // [R], where the backend samples
    int32_t* near_begin;     // [S], RaggedBatch::near_begin
    int32_t* states;         // [S], RaggedBatch::states
    int32_t* block_tables;   // [G, S, max_blocks]
  };
  struct Scratch {
    uint8_t* batch;            // device memory of the BatchArrays
    float* residual;           // [T, hidden]
    float* block_out;          // [T, hidden]
    float* added;              // [2, T, hidden], of Backend::add_results
    float* gathered;           // [R, hidden]
    float* logits;             // [R, vocab], where the caller's are on another device
    TokenValue* token_values;  // [max_token_values], lists of sample_rows
    int32_t* tokens;           // [R]
    uint32_t* masks;           // [R, mask_words(vocab)], of sample_rows
    uint8_t* activation;       // for Backend::prepare
    uint8_t* side_activation;  // likewise, for what runs beside
    uint8_t* attention;        // for Backend::attention
  };
  // Where a block's inputs are.
  struct InputScratch {
    float* rows;          // [T, hidden]
    uint8_t* activation;  // for Backend::prepare
  };

  void plan(Workspace& workspace);
  BatchArrays plan_batch(Workspace& workspace) const;
  size_t batch_bytes() const;
  size_t activation_bytes() const;
  size_t attention_bytes() const;
  // Whether layers that read another's cache find there all that they look at.
  void check_shared_layers() const;
  // Chooses the layers whose caches hold keys without their bias.
  void set_biases_apart();
  // Room for KeyAngles of the ropes that these layers have.
  void plan_angles(Workspace& workspace);
  // Fills them up to n_tokens, which costs nothing for positions that were there before.
  void fill_angles(int64_t n_tokens);
  void check_cache(const KvCache& kv) const;
  // Writes the batch, which must ask for n_logits rows, into the scratch arrays.
  Step stage(Batch batch, const KvCache& kv, int64_t n_logits);
  void stage_sequence(const BatchSequence& sequence, int64_t index, Step& step);
  void stage_pages(const BatchSequence& sequence, int64_t index, const Step& step);
  void check_pages(const BatchSequence& sequence, int64_t index, const KvCache& kv) const;
  // What a step shall find out.
  struct Rows {
    int64_t n = 0;              // rows of logits
    float* logits = nullptr;    // [n, vocab], device memory
    int64_t n_choose_from = 0;  // ids that scratch_.tokens are chosen from; 0: none are chosen
  };
  void choose(const Rows& rows);
  void run(const Step& step, const KvCache& kv, const Rows& rows);
  void run_operators(const Step& step, const KvCache& kv, const Rows& rows);
  int64_t kv_layer(int64_t layer) const;
  int64_t n_groups() const { return static_cast<int64_t>(kv_.windows.size()); }
  bool is_state(int64_t group) const { return kv_.state_group > 0 && group == kv_.state_group; }
  // The step as a layer of the group sees it.
  Step group_step(const Step& step, int64_t group) const;
  AddResultsArgs run_layers(const Step& step, const KvCache& kv);
  BlockResults run_per_layer_block(const Step& step, int64_t index);
  // How a block's results join the residual stream.
  struct BlockEnd {
    const float* post_norm = nullptr;  // [hidden] or null
    float scale = 1;
  };
  AddResultsArgs joining(const Step& step, const BlockResults& results, const BlockEnd& end) const;
  // Adds what the last block returned, then makes what the next one asks for.
  BlockInputs next_inputs(const Step& step, const AddResultsArgs& add, InputRequests requests);
  BlockInput end_layers(const Step& step, const AddResultsArgs& add, const Rows& rows);
  void run_head(Step step, const BlockInput& x, const Rows& rows);
  void observe(std::string_view stage, int64_t layer, const float* values, int64_t rows) const;

  ModelSpec spec_;
  DecoderWeights weights_;
  Backend& backend_;
  LoadOptions options_;
  KvLayout kv_;
  int64_t max_blocks_ = 0;  // of one sequence
  int64_t max_token_values_ = 0;
  std::vector<Buffer> inv_freqs_;
  std::vector<RopeTable> ropes_;
  std::vector<KeyAngles> key_angles_;  // of each rope
  int64_t n_angles_ = 0;               // positions that they are filled for
  Buffer memory_;
  Buffer host_memory_;  // of host_, unless that is the device's
  Buffer excluded_;     // ids that next_tokens() does not choose
  Scratch scratch_{};
  InputScratch input_scratch_[kMaxNormedInputs]{};
  BlockInput inputs_[kMaxNormedInputs]{};
  // Of each layer's attention, then of its feed-forward block.
  std::vector<std::vector<InputRequest>> input_requests_;
  BatchArrays host_{};
  BatchArrays device_{};
  Observer observer_;
};

}  // namespace tq
