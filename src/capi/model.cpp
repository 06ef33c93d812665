// The C interface to a model: opening, tokens, templates.
#include <new>

#include "capi/handles.h"
#include "embed/library.h"
#include "session/option_reader.h"

namespace tq::capi {
namespace {

// As options are named in JSON: "kv_format".
std::string option_name(const tq_option& option) {
  require(option.name, "an option's name");
  require(option.value, option.name);
  return json_name(option.name);
}

}  // namespace

Json read_texts(const tq_option* options, size_t n_options) {
  if (n_options > 0) require(options, "options");
  Json object = Json::object();
  for (size_t i = 0; i < n_options; ++i) {
    const std::string name = option_name(options[i]);
    if (!object.contains(name)) {
      object[name] = options[i].value;
      continue;
    }
    if (!object[name].is_array()) object[name] = Json::array({object[name]});
    object[name].push_back(options[i].value);
  }
  return object;
}

}  // namespace tq::capi

using namespace tq;
using namespace tq::capi;

void tq_set_log(tq_log_fn log, void* user) {
  (void)guarded([&] {
    prepare_library();
    if (log == nullptr) return set_library_log({});
    set_library_log([log, user](bool is_warning, const std::string& message) {
      log(is_warning ? 1 : 0, message.c_str(), user);
    });
  });
}

tq_stop* tq_stop_new(void) { return new (std::nothrow) tq_stop; }
void tq_stop_now(tq_stop* stop) {
  if (stop != nullptr) stop->thrown = true;
}
void tq_stop_free(tq_stop* stop) { delete stop; }

tq_status tq_model_open(const char* path, const tq_option* options, size_t n_options,
                        tq_progress_fn progress, void* user, tq_model** model) {
  return guarded([&] {
    require(path, "path");
    require(model, "model");
    prepare_library();
    HostOptions host;
    OptionReader::read_all(read_texts(options, n_options), host, OptionValues::kTexts);
    host.model.path = path;
    std::function<void(int64_t, int64_t)> told;
    if (progress != nullptr) {
      told = [progress, user](int64_t done, int64_t total) {
        if (progress(done, total, user) != 0) fail(ErrorCode::kCancelled, "loading was stopped");
      };
    }
    auto opened = std::make_unique<tq_model>();
    opened->llm = std::make_shared<Llm>(host, told);
    *model = opened.release();
  });
}

void tq_model_close(tq_model* model) {
  if (model == nullptr) return;
  (void)guarded([&] { model->llm->close(); });
  delete model;
}

tq_status tq_model_describe(const tq_model* model, char** json) {
  return guarded([&] {
    require(json, "json");
    *json = copy_text(json_line(llm_of(model)->describe()));
  });
}

tq_status tq_tokenize(const tq_model* model, const char* text, int add_special, int32_t** ids,
                      size_t* n_ids) {
  return guarded([&] {
    require(text, "text");
    require(ids, "ids");
    require(n_ids, "n_ids");
    const std::vector<int32_t> encoded = llm_of(model)->encode(text, add_special != 0);
    const size_t n_bytes = encoded.size() * sizeof(int32_t);
    auto* copy = static_cast<int32_t*>(std::malloc(n_bytes > 0 ? n_bytes : 1));
    if (copy == nullptr) throw std::bad_alloc();
    if (n_bytes > 0) std::memcpy(copy, encoded.data(), n_bytes);
    *ids = copy;
    *n_ids = encoded.size();
  });
}

tq_status tq_detokenize(const tq_model* model, const int32_t* ids, size_t n_ids, int skip_special,
                        char** text, size_t* n_bytes) {
  return guarded([&] {
    require(text, "text");
    require(n_bytes, "n_bytes");
    if (n_ids > 0) require(ids, "ids");
    const std::vector<int32_t> list(ids, ids + n_ids);
    const std::string decoded = llm_of(model)->decode(list, skip_special != 0);
    *text = copy_text(decoded);
    *n_bytes = decoded.size();
  });
}

tq_status tq_apply_chat_template(const tq_model* model, const char* request, char** text) {
  return guarded([&] {
    require(text, "text");
    *text = copy_text(llm_of(model)->render(read_json(request, "request")));
  });
}
