#include "eval/local_model.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "convert/source_identity.h"
#include "session/answer.h"
#include "session/prompt.h"

namespace tq {
namespace {

// "6438 bytes, modified 1.2, content ab12" without the time: a copied file is the same file.
std::string without_time(const std::string& text) {
  const size_t begin = text.find(", modified ");
  const size_t end = text.find(", content ");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return text;
  return text.substr(0, begin) + text.substr(end);
}

}  // namespace

// Outputs from the engine's thread to the one that asks.
class LocalModel::Outputs {
 public:
  void put(size_t index, const Output& output) {
    const std::lock_guard lock(mutex_);
    outputs_.emplace_back(index, output);
    changed_.notify_one();
  }
  // Nothing when nothing has come for a while.
  std::optional<std::pair<size_t, Output>> take() {
    std::unique_lock lock(mutex_);
    constexpr std::chrono::milliseconds kWhile{50};
    if (!changed_.wait_for(lock, kWhile, [this] { return !outputs_.empty(); })) return std::nullopt;
    auto out = std::move(outputs_.front());
    outputs_.pop_front();
    return out;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<size_t, Output>> outputs_;
};

struct LocalModel::Live {
  LoadedModel loaded;
  std::unique_ptr<ChatTemplate> chat_template;
  std::unique_ptr<Grammars> grammars;
  std::unique_ptr<Service> service;  // the last: it uses the others
};

Json LocalModel::identity() {
  if (!identity_.is_null()) return identity_;
  const auto checkpoint =
      open_checkpoint(options_.model.path, {.ignore_config = options_.model.ignore_config});
  Json files = Json::object();
  const Json found = source_identity(*checkpoint);
  for (const auto& [name, value] : found.items()) {
    files[name] = value.is_string() ? without_time(value.get<std::string>()) : value.dump();
  }
  const ModelOptions& model = options_.model;
  identity_ = {{"files", files}, {"device", resolve_device(model.device)}};
  if (!model.format.empty()) identity_["format"] = model.format;
  if (!model.preset.empty()) identity_["preset"] = model.preset;
  if (const std::string& asked = options_.chat_template; !asked.empty()) {
    identity_["chat_template"] = is_file(asked) ? read_text_file(asked) : asked;
  }
  if (model.exact) identity_["exact"] = true;
  if (model.kv_format != "auto") identity_["kv_dtype"] = model.kv_format;
  if (const KvOptions kv = model.kv_options(); kv.is_compressed()) {
    identity_["kv_near"] = {kv.sinks, kv.tail, kv.skip_layers};
  }
  if (!options_.variables.empty()) identity_["variables"] = options_.variables;
  return identity_;
}

LocalModel::Live& LocalModel::live() {
  if (live_) return *live_;
  const ModelNeeds needs{.max_sequences = options_.parallel, .text = true};
  auto live = std::make_shared<Live>();
  live->loaded = options_.open ? options_.open(needs) : open_model(options_.model, needs);
  LoadedModel& loaded = live->loaded;
  if (!loaded.tokenizer) {
    fail(ErrorCode::kInvalidArgument, "{} has no tokenizer.json, so it cannot be talked with",
         options_.model.path);
  }
  live->chat_template = open_chat_template(*loaded.checkpoint, options_.chat_template, false);
  if (!live->chat_template) {
    fail(ErrorCode::kInvalidArgument,
         "{} has no chat template, so it cannot be talked with: --chat-template FILE gives one",
         options_.model.path);
  }
  live->grammars = std::make_unique<Grammars>(loaded.tokenizer, loaded.not_text);
  live->service = std::make_unique<Service>(
      *loaded.model, loaded.tokenizer, loaded.eos_ids,
      EngineOptions{.kv_format = options_.model.kv(), .suppressed_ids = loaded.not_text});
  live_ = std::move(live);
  return *live_;
}

Request LocalModel::make_request(Live& live, const ChatAsk& ask, Prompt& prompt) const {
  const LoadedModel& loaded = live.loaded;
  prompt = chat_prompt(*loaded.tokenizer, *live.chat_template, ask.messages, options_.variables);
  Request request;
  request.sampling = {.temperature = static_cast<float>(ask.temperature), .seed = ask.seed};
  const int64_t room =
      loaded.model->options().max_context - static_cast<int64_t>(prompt.ids.size());
  request.sampling.max_tokens =
      static_cast<int>(std::max<int64_t>(1, std::min(ask.max_tokens, room)));
  if (!ask.schema.is_null()) {
    request.constraint =
        live.grammars->constrain(live.grammars->get(json_schema_source(ask.schema)), prompt.parser);
  }
  set_prompt(request, prompt);
  return request;
}

void LocalModel::ask(ChatAsk ask, Told told) {
  Asked asked{std::move(ask), std::move(told)};
  if (running_) {
    queue_.push_front(std::move(asked));
  } else {
    queue_.push_back(std::move(asked));
  }
}

// What is under way.
struct LocalModel::Running {
  struct One {
    Asked asked;
    AnswerReader reader;
    double began;
    int64_t number;
  };

  explicit Running(LocalModel& owner) : model(owner) { model.running_ = true; }
  ~Running() {
    for (const auto& [id, one] : ones) model.live_->service->cancel(one.number);
    model.live_->service->wait();
    model.queue_.clear();
    model.running_ = false;
  }

  void begin(Asked asked) {
    const double began = unix_now();
    const size_t id = next_id++;
    try {
      Prompt prompt;
      Request request = model.make_request(*model.live_, asked.ask, prompt);
      AnswerReader reader(prompt);
      request.on_output = [outputs = outputs, id](const Output& output) {
        outputs->put(id, output);
      };
      const int64_t number = model.live_->service->submit(std::move(request));
      ones.emplace(id, One{std::move(asked), std::move(reader), began, number});
    } catch (const Error& error) {  // a prompt that the template refuses, a schema
      asked.told({.fault = ChatFault::kFailed, .message = error.what(), .began = began});
    }
  }

  void take(size_t id, const Output& output) {
    const auto found = ones.find(id);
    One& one = found->second;
    ChatAnswer answer{.began = one.began};
    if (output.finish == FinishReason::kError) {
      answer.fault = ChatFault::kFailed;
      answer.message = output.error;
    } else {
      one.reader.read(output);
      if (output.finish == FinishReason::kNone) return;
      const Generation& result = one.reader.answer();
      answer.text = result.text;
      answer.reasoning = result.reasoning;
      answer.cut = result.finish == FinishReason::kLength;
      answer.prompt_tokens = result.stats.prompt_tokens;
      answer.output_tokens = result.stats.generated_tokens;
    }
    answer.seconds = unix_now() - answer.began;
    const Told told = std::move(one.asked.told);
    ones.erase(found);
    told(std::move(answer));
  }

  LocalModel& model;
  std::shared_ptr<Outputs> outputs = std::make_shared<Outputs>();
  std::unordered_map<size_t, One> ones;
  size_t next_id = 0;
};

void LocalModel::run() {
  if (queue_.empty()) return;
  live();
  Running running(*this);
  while (!queue_.empty() || !running.ones.empty()) {
    // No more at a time than are computed together, so that each one's time is its own.
    while (!queue_.empty() && running.ones.size() < static_cast<size_t>(options_.parallel)) {
      Asked asked = std::move(queue_.front());
      queue_.pop_front();
      running.begin(std::move(asked));
    }
    if (options_.stops && options_.stops()) fail(ErrorCode::kCancelled, "interrupted");
    if (const auto next = running.outputs->take()) running.take(next->first, next->second);
  }
}

}  // namespace tq
