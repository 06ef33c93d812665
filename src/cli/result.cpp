#include "cli/result.h"

#include "base/thread_pool.h"

namespace tq {
namespace {

// Every option of how the model was loaded, with what its default came to.
Json settings_json(const ModelOptions& options, const LoadedModel& loaded) {
  const LoadOptions& load = loaded.model->options();
  return {{"device", options.device},
          {"threads", options.threads > 0 ? options.threads : available_cpus()},
          {"format", options.format},
          {"preset", options.preset},
          {"exact", options.exact},
          {"kernels", options.kernels},
          {"batch_invariant", options.batch_invariant},
          {"gpu_memory_bytes", options.gpu_memory},
          {"kv_dtype", kv_format_traits(options.kv()).name},
          {"kv_sink", options.kv_sink},
          {"kv_tail", options.kv_tail},
          {"kv_skip_layers", options.kv_skip_layers},
          {"ctx", load.max_context},
          {"batch", load.max_batch_tokens},
          {"sequences", load.max_sequences}};
}

}  // namespace

Json result_json(std::string_view command) {
  return {{"schema", kResultSchema}, {"command", command}, {"versions", versions_json()}};
}

Json result_json(std::string_view command, const ModelOptions& options, const LoadedModel& loaded) {
  Json json = result_json(command);
  json["model"] = options.path;
  json["arch"] = loaded.model->spec().arch;
  json["device"] = {{"name", loaded.backend->name()},
                    {"description", loaded.backend->description()}};
  json["settings"] = settings_json(options, loaded);
  return json;
}

Json typed(std::string_view type, const Json& json) {
  Json line = {{"type", type}};
  line.update(json);
  return line;
}

Json piece_json(const ReasoningPiece& piece) {
  return {{"type", piece.is_reasoning ? "reasoning" : "text"}, {"text", piece.text}};
}

}  // namespace tq
