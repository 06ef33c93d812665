#include "cli/chat_source.h"

#include "base/error.h"
#include "cli/interrupt.h"
#include "cli/template_options.h"
#include "eval/http_model.h"
#include "eval/local_model.h"

namespace tq {
namespace {

bool is_url(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

Json object_option(const std::string& text, const char* name) {
  if (text.empty()) return Json::object();
  Json json = parse_json(text, name);
  if (!json.is_object()) fail(ErrorCode::kInvalidArgument, "{} is no JSON object", name);
  return json;
}

}  // namespace

Json LoadedFacts::json() const {
  if (device.empty()) return nullptr;
  return {{"name", device}, {"description", description}};
}

void add_chat_source_options(CLI::App& command, ChatSourceOptions& options) {
  constexpr const char* kGroup = "Models and servers";
  command
      .add_option("--parallel", options.parallel,
                  "Answers under way at a time: of a path computed together, of a URL asked for")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->group(kGroup);
  add_template_choice(command, options.chat_template);
  command
      .add_option("--chat-template-kwargs", options.variables,
                  "Variables for the chat template of paths, as a JSON object: "
                  "{\"enable_thinking\": false}")
      ->group(kGroup);
  command
      .add_option("--extra-body", options.extra_body,
                  "JSON object whose fields are put into every request to a URL")
      ->group(kGroup);
  command
      .add_option("--retries", options.retries,
                  "How often a URL is asked again that does not answer, in time or at all")
      ->check(CLI::Range(0, 100))
      ->group(kGroup);
  command
      .add_option("--timeout", options.limits.call_seconds,
                  "Seconds until a URL's answer that is not complete has failed")
      ->check(CLI::Range(0.01, 1e6))
      ->group(kGroup);
  command
      .add_option("--ca", options.trust.ca_file,
                  "File with certificates (PEM) that an https server's may be of; without it the "
                  "system's")
      ->group(kGroup);
  command.add_flag("--insecure", options.trust.insecure, "Take any certificate of an https server")
      ->group(kGroup);
}

std::unique_ptr<ChatModel> make_chat_model(const ChatSource& source,
                                           const ChatSourceOptions& options,
                                           const GlobalOptions& global, LoadedFacts& facts) {
  if (is_url(source.model.path)) {
    return std::make_unique<HttpModel>(
        HttpModelOptions{.url = source.model.path,
                         .model = source.served_model,
                         .api_key = source.api_key,
                         .parallel = options.parallel,
                         .retries = options.retries,
                         .extra = object_option(options.extra_body, "--extra-body"),
                         .limits = options.limits,
                         .trust = options.trust,
                         .stops = InterruptScope::interrupted});
  }
  return std::make_unique<LocalModel>(
      LocalModelOptions{.model = source.model,
                        .chat_template = options.chat_template,
                        .variables = object_option(options.variables, "--chat-template-kwargs"),
                        .parallel = options.parallel,
                        .open =
                            [&global, &facts, model = source.model](const ModelNeeds& needs) {
                              LoadedModel loaded = open_model(model, needs, global);
                              facts = {std::string(loaded.backend->name()),
                                       std::string(loaded.backend->description())};
                              return loaded;
                            },
                        .stops = InterruptScope::interrupted});
}

}  // namespace tq
