#include "hub/hub_answer.h"

#include <algorithm>
#include <ctime>

#include "base/error.h"
#include "base/log.h"
#include "hub/listing.h"

namespace tq {
namespace {

constexpr int64_t kLongestWait = 600;  // seconds of Retry-After
constexpr int kTextAttempts = 3;

// Where on the hub a person looks at the repository.
std::string page_of(const HubEnvironment& environment, const HubName& name) {
  return environment.endpoint + "/" + name.repository;
}

std::string token_text(const HubEnvironment& environment) {
  return environment.token.empty()
             ? "set HF_TOKEN to a token of yours (" + environment.endpoint + "/settings/tokens)"
             : "the token that is set (HF_TOKEN or the token file) is not one that may read it";
}

[[noreturn]] void fail_forbidden(const HubHead& head, const HubEnvironment& environment,
                                 const HubName& name) {
  const std::string code = head.header("x-error-code");
  const std::string said = head.header("x-error-message");
  const std::string quoted = said.empty() ? "" : fmt::format(" (\"{}\")", printable(said));
  if (code == "GatedRepo") {
    fail(ErrorCode::kUnsupported,
         "{} is gated{}: accept its licence at {} with your account, then {}", name.repository,
         quoted, page_of(environment, name), token_text(environment));
  }
  if (said.find("disabled") != std::string::npos) {
    fail(ErrorCode::kUnsupported, "{} has been disabled by the hub{}", name.repository, quoted);
  }
  if (head.status == 401 && said.find("nvalid") != std::string::npos &&
      !environment.token.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{} does not accept the token that is set (HF_TOKEN or the token file){}; make a new one "
         "at {}/settings/tokens, or unset it for what is public",
         environment.endpoint, quoted, environment.endpoint);
  }
  // Hubs answer so for names that they do not have, too: who may not read must not learn which
  // there are.
  fail(head.status == 401 ? ErrorCode::kNotFound : ErrorCode::kUnsupported,
       "{}: there is no such repository at {}, or it is private or gated{}; check the name, or {}",
       name.repository, environment.endpoint, quoted, token_text(environment));
}

[[noreturn]] void fail_not_found(const HubHead& head, const HubEnvironment& environment,
                                 const HubName& name, const std::string& file) {
  const std::string code = head.header("x-error-code");
  const std::string revision = name.revision_or_main();
  if (code == "RevisionNotFound") {
    fail(ErrorCode::kNotFound,
         "{} has no revision {}; its branches and tags are at {}/tree/main. (Of a GGUF "
         "repository the name of a quantization stands there, like Q4_K_M)",
         name.repository, revision, page_of(environment, name));
  }
  if (code == "EntryNotFound" || (!file.empty() && code.empty())) {
    fail(ErrorCode::kNotFound, "{} has no file {} at {}", name.repository, printable(file),
         revision);
  }
  fail(ErrorCode::kNotFound, "{}: there is no such repository at {}; check the name{}",
       name.repository, environment.endpoint,
       environment.token.empty() ? ", or set HF_TOKEN if it is private" : "");
}

}  // namespace

bool Retries::again(std::optional<int64_t> seconds) {
  if (++failures_ > most_) return false;
  const int64_t backoff = int64_t{500} << std::min(failures_ - 1, 5);  // milliseconds
  const int64_t wait = seconds ? *seconds * 1000 : backoff;
  not_before_ = Clock::now() + std::chrono::milliseconds(wait);
  return true;
}

bool is_passing(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

std::optional<int64_t> wanted_delay(const HubHead& head) {
  const auto seconds =
      retry_after_seconds(head.header("retry-after"), static_cast<int64_t>(std::time(nullptr)));
  if (seconds && *seconds > kLongestWait) {
    fail(
        ErrorCode::kIo,
        "{} answers {} and asks to come back in {} seconds; what is there is kept, pull again then",
        origin_of(head.url), head.status, *seconds);
  }
  return seconds;
}

void fail_answer(const HubHead& head, const HubEnvironment& environment, const HubName& name,
                 const std::string& file) {
  if (head.status == 401 || head.status == 403) fail_forbidden(head, environment, name);
  if (head.status == 404) fail_not_found(head, environment, name, file);
  const std::string said = head.header("x-error-message");
  fail(ErrorCode::kIo,
       "{}: {} answers {}{}{}; try again later, and look at HF_ENDPOINT and proxies (HTTPS_PROXY)",
       name.repository, origin_of(head.url), head.status,
       file.empty() ? "" : " for " + printable(file),
       said.empty() ? "" : fmt::format(" (\"{}\")", printable(said)));
}

std::string get_text(HubClient& client, const TextRequest& request,
                     const HubEnvironment& environment, const HubName& name) {
  Retries retries(kTextAttempts - 1);
  while (true) {
    std::string text;
    std::string trouble;
    HubHead answer;
    bool ended = false;
    bool permanent = false;
    bool too_long = false;
    const HubClient::Id id = client.start({
        .url = request.url,
        .on_head = [](const HubHead&) { return true; },
        .on_body =
            [&](std::string_view bytes) {
              too_long = text.size() + bytes.size() > static_cast<size_t>(request.max_bytes);
              if (!too_long) text += bytes;
              return !too_long;
            },
        .on_end =
            [&](const HubHead& head, const HubEnd& end) {
              answer = head;
              trouble = end.failure;
              permanent = end.permanent;
              ended = true;
            },
    });
    const auto check_cancelled = [&] {
      if (!request.cancelled || !request.cancelled()) return;
      client.stop(id);  // its functions would outlive what they refer to
      fail(ErrorCode::kCancelled, "interrupted before anything was fetched");
    };
    while (!ended) {
      check_cancelled();
      client.step(100);
    }
    if (too_long) {
      fail(ErrorCode::kCorrupt,
           "{}: the hub's answer is longer than {} bytes; is HF_ENDPOINT ({}) a hub?",
           name.repository, request.max_bytes, environment.endpoint);
    }
    if (trouble.empty() && answer.status == 200) return text;
    if (trouble.empty() && !is_passing(answer.status)) fail_answer(answer, environment, name, "");
    if (permanent || !retries.again(trouble.empty() ? wanted_delay(answer) : std::nullopt)) {
      if (trouble.empty()) fail_answer(answer, environment, name, "");
      fail(ErrorCode::kIo,
           "{}: no answer from {}: {}; look at the network, HF_ENDPOINT and proxies (HTTPS_PROXY). "
           "HF_HUB_OFFLINE=1 uses what is in the cache without asking",
           name.repository, environment.endpoint, trouble);
    }
    if (trouble.empty()) {
      info("{} answers {}; asking again", origin_of(answer.url), answer.status);
    }
    while (Retries::Clock::now() < retries.not_before()) {
      check_cancelled();
      client.step(50);
    }
  }
}

}  // namespace tq
