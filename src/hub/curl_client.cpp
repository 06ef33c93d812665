// HubClient by libcurl's multi interface. The only source that includes it.
#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/check.h"
#include "base/env.h"
#include "base/error.h"
#include "hub/hub_client.h"
#include "hub/listing.h"

namespace tq {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaders = 200;
constexpr size_t kMaxHeaderBytes = 16 << 10;
constexpr long kConnectSeconds = 30;
constexpr long kStalledSeconds = 30;  // without a byte: the connection is given up
constexpr long kReceiveBytes = 256 << 10;

struct FreeSlist {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

// One request with the redirects that it takes.
struct CurlRequest {
  HubClient::Id id = 0;
  HubRequest request;
  std::unique_ptr<CURL, FreeEasy> easy;
  std::unique_ptr<curl_slist, FreeSlist> headers;
  HubHead head;
  int redirects = 0;
  bool final_head = false;  // on_head was called
  bool ended = false;       // by one of its functions
  std::string refused;      // why a redirect is not followed
  std::exception_ptr error;
  char message[CURL_ERROR_SIZE] = {};
};

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// A part of an address; empty where it has none.
std::string url_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
  const std::unique_ptr<char, decltype(&curl_free)> held(text, curl_free);
  return text;
}

CURLcode start_curl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  return code;
}

void require_curl() {
  const CURLcode code = start_curl();
  if (code == CURLE_OK) return;
  fail(ErrorCode::kUnsupported, "libcurl could not be started: {}; is it installed as a whole?",
       curl_easy_strerror(code));
}

class CurlClient final : public HubClient {
 public:
  explicit CurlClient(const Settings& settings)
      : settings_(settings), origin_(origin_of(settings.endpoint)) {
    require_curl();
    multi_ = curl_multi_init();
    if (multi_ == nullptr) fail(ErrorCode::kOutOfMemory, "libcurl could not be started");
  }

  ~CurlClient() override {
    for (const auto& request : requests_) curl_multi_remove_handle(multi_, request->easy.get());
    requests_.clear();
    curl_multi_cleanup(multi_);
  }

  Id start(HubRequest request) override {
    auto one = std::make_unique<CurlRequest>();
    one->id = ++last_id_;
    one->request = std::move(request);
    one->easy.reset(curl_easy_init());
    if (one->easy == nullptr) fail(ErrorCode::kOutOfMemory, "libcurl could not make a request");
    set_up(*one);
    send(*one, one->request.url);
    requests_.push_back(std::move(one));
    return last_id_;
  }

  void stop(Id id) override {
    const auto at = std::find_if(requests_.begin(), requests_.end(),
                                 [&](const auto& one) { return one->id == id; });
    if (at == requests_.end()) return;
    curl_multi_remove_handle(multi_, (*at)->easy.get());
    requests_.erase(at);
  }

  void step(int timeout_ms) override {
    int running = 0;
    curl_multi_perform(multi_, &running);
    collect();
    curl_multi_poll(multi_, nullptr, 0, timeout_ms, nullptr);
    curl_multi_perform(multi_, &running);
    collect();
  }

  size_t n_active() const override { return requests_.size(); }

 private:
  // What all requests have in common.
  void set_up(CurlRequest& one) {
    CURL* easy = one.easy.get();
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &one);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, one.message);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // of a proxy
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);  // redirect() does, within its limits
    // Parallel ranges are for a connection each.
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "tq/" TQ_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBytes);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header_line);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &one);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &one);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    if (one.request.range.size() > 0) {
      const std::string range =
          fmt::format("{}-{}", one.request.range.begin, one.request.range.end - 1);
      curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());
    }
    for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
      const std::string file = env_or(name, "");
      if (file.empty()) continue;
      curl_easy_setopt(easy, CURLOPT_CAINFO, file.c_str());
      break;
    }
  }

  // A redirect may lead to another scheme, which has another proxy. libcurl reads their variables
  // itself, but http's only in lower case.
  static void set_proxy(CURL* easy, const std::string& origin) {
    const std::string proxy = env_or("http_proxy", env_or("HTTP_PROXY", ""));
    const bool given = !proxy.empty() && origin.starts_with("http:");
    curl_easy_setopt(easy, CURLOPT_PROXY, given ? proxy.c_str() : nullptr);
  }

  void send(CurlRequest& one, const std::string& url) {
    one.head.url = url;
    one.head.status = 0;
    const std::string origin = origin_of(url);
    set_proxy(one.easy.get(), origin);
    curl_slist* list = nullptr;
    // Never to another host, whatever redirects to it.
    if (!settings_.token.empty() && !origin.empty() && origin == origin_) {
      list = curl_slist_append(list, ("Authorization: Bearer " + settings_.token).c_str());
    }
    one.headers.reset(list);
    curl_easy_setopt(one.easy.get(), CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(one.easy.get(), CURLOPT_URL, url.c_str());
    TQ_CHECK(curl_multi_add_handle(multi_, one.easy.get()) == CURLM_OK, "libcurl took no request");
  }

  // Follows a redirect; false where there is none to follow.
  bool redirect(CurlRequest& one) {
    char* location = nullptr;
    curl_easy_getinfo(one.easy.get(), CURLINFO_REDIRECT_URL, &location);
    if (location == nullptr) return false;
    const std::string to = location;
    const std::string from = one.head.url;
    const std::string target = origin_of(to);
    if (target.empty()) {
      one.refused = "redirected to what is no address of the web: " + printable(to);
    } else if (origin_of(from).starts_with("https:") && !target.starts_with("https:")) {
      one.refused = "redirected from https to http, which is not followed: " + target;
    } else if (++one.redirects > kMaxRedirects) {
      one.refused = fmt::format("redirected more than {} times", kMaxRedirects);
    }
    if (!one.refused.empty()) return false;
    send(one, to);
    return true;
  }

  // Takes what has ended off the list.
  void collect() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;
      curl_multi_remove_handle(multi_, easy);
      const auto at = std::find_if(requests_.begin(), requests_.end(),
                                   [&](const auto& one) { return one->easy.get() == easy; });
      if (at == requests_.end()) continue;
      if (code == CURLE_OK && is_redirect((*at)->head.status) && redirect(**at)) continue;
      const std::unique_ptr<CurlRequest> one = std::move(*at);
      requests_.erase(at);
      end(*one, code);
    }
  }

  static void end(CurlRequest& one, CURLcode code) {
    if (one.error) std::rethrow_exception(one.error);
    std::string failure = one.refused;
    if (failure.empty() && code != CURLE_OK && !one.ended) {
      failure = failure_text(one, code);
    }
    if (failure.empty() && !one.ended && !one.final_head) call_head(one);  // without a body
    if (one.error) std::rethrow_exception(one.error);
    const bool done = code == CURLE_OK && failure.empty() && !one.ended;
    one.request.on_end(one.head, {done, failure, !one.refused.empty() || is_permanent(code)});
  }

  // libcurl quotes the proxies that it cannot use, with their passwords.
  static std::string failure_text(const CurlRequest& one, CURLcode code) {
    if (code == CURLE_COULDNT_RESOLVE_PROXY) {
      return "the proxy that is set (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) has no address that is "
             "known; correct or unset it";
    }
    const std::string_view said = one.message;
    if (said.empty()) return curl_easy_strerror(code);
    if (said.find('@') != std::string_view::npos) {
      return fmt::format(
          "{}; is the proxy that is set (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) right?",
          curl_easy_strerror(code));
    }
    return printable(said);
  }

  static bool is_permanent(CURLcode code) {
    return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_COULDNT_RESOLVE_PROXY;
  }

  static bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  }

  static void call_head(CurlRequest& one) {
    one.final_head = true;
    try {
      one.ended = !one.request.on_head(one.head);
    } catch (...) {
      one.error = std::current_exception();
      one.ended = true;
    }
  }

  static size_t on_header_line(char* data, size_t size, size_t n, void* user) {
    auto& one = *static_cast<CurlRequest*>(user);
    const std::string_view line = trim({data, size * n});
    if (one.final_head) return size * n;  // behind the body
    if (line.starts_with("HTTP/")) {      // also after "100 Continue" and of each redirect's target
      auto linked = one.head.headers.extract("x-linked-etag");
      one.head.headers.clear();
      if (linked) one.head.headers.insert(std::move(linked));
      one.head.status = 0;
      const size_t blank = line.find(' ');
      if (blank != std::string_view::npos) {
        one.head.status = std::atoi(std::string(line.substr(blank + 1, 3)).c_str());
      }
      return size * n;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return size * n;
    if (one.head.headers.size() >= kMaxHeaders || line.size() > kMaxHeaderBytes) return 0;
    one.head.headers[lower_case(line.substr(0, colon))] = trim(line.substr(colon + 1));
    return size * n;
  }

  static size_t on_bytes(char* data, size_t size, size_t n, void* user) {
    auto& one = *static_cast<CurlRequest*>(user);
    const size_t bytes = size * n;
    if (is_redirect(one.head.status)) return bytes;  // whose body says nothing
    if (!one.final_head) call_head(one);
    if (one.ended) return kEndTransfer;
    try {
      one.ended = !one.request.on_body({data, bytes});
    } catch (...) {
      one.error = std::current_exception();
      one.ended = true;
    }
    return one.ended ? kEndTransfer : bytes;
  }

  // Fewer than were given: the transfer ends.
  static constexpr size_t kEndTransfer = 0;

  Settings settings_;
  std::string origin_;
  CURLM* multi_ = nullptr;
  std::vector<std::unique_ptr<CurlRequest>> requests_;
  Id last_id_ = 0;
};

}  // namespace

// By libcurl's own parser, so that what is compared is what it connects to. What parsers read
// differently is refused before: a user's name, a backslash, slashes too few or too many, and hosts
// that are encoded twice or not in ASCII.
std::string origin_of(std::string_view url) {
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos) return "";
  const std::string scheme = lower_case(url.substr(0, colon));
  if (scheme != "http" && scheme != "https") return "";
  const std::string_view rest = url.substr(colon + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.empty() || authority.find_first_of("@\\") != std::string_view::npos) return "";
  const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
  if (parsed == nullptr) fail(ErrorCode::kOutOfMemory, "libcurl could not read an address");
  const std::string text(url);
  if (text.find('\0') != std::string::npos ||
      curl_url_set(parsed.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return "";
  }
  const std::string host = url_part(parsed.get(), CURLUPART_HOST);
  const std::string port = url_part(parsed.get(), CURLUPART_PORT);
  const bool plain =
      std::all_of(host.begin(), host.end(), [](char c) { return c > ' ' && c < 0x7f && c != '%'; });
  if (!plain || host.empty() || port.empty() || !url_part(parsed.get(), CURLUPART_USER).empty())
    return "";
  return scheme + "://" + lower_case(host) + ":" + port;
}

void prepare_hub_client() {
#ifdef CURL_VERSION_THREADSAFE
  // Then a thread may do it, and who pulls nothing need not wait for it.
  if ((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_THREADSAFE) != 0) return;
#endif
  start_curl();
}

std::unique_ptr<HubClient> make_hub_client(const HubClient::Settings& settings) {
  return std::make_unique<CurlClient>(settings);
}

}  // namespace tq
