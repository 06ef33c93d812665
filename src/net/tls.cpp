// The one source that includes OpenSSL.
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/file.h"

namespace tq {
namespace {

using ContextPtr = std::shared_ptr<SSL_CTX>;

// What OpenSSL has to say, and forgets then.
std::string take_problem() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    if (!text.empty()) continue;  // the first is the cause
    const char* reason = ERR_reason_error_string(code);
    text = reason != nullptr ? reason : "TLS failed";
  }
  return text.empty() ? "TLS failed" : text;
}

int size_of(size_t n) {
  return static_cast<int>(std::min<size_t>(n, std::numeric_limits<int>::max()));
}

ContextPtr make_context(const SSL_METHOD* method) {
  ERR_clear_error();
  ContextPtr context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1) {
    fail(ErrorCode::kInternal, "TLS cannot be set up: {}", take_problem());
  }
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // Nobody is asked for the password of a key.
  SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return -1; });
  return context;
}

class Session : public TlsSession {
 public:
  explicit Session(const ContextPtr& context) : context_(context), ssl_(SSL_new(context.get())) {
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    if (ssl_ == nullptr || in_ == nullptr || out_ == nullptr) {
      fail(ErrorCode::kOutOfMemory, "no memory for a TLS connection");
    }
    SSL_set_bio(ssl_, in_, out_);
  }
  ~Session() override { SSL_free(ssl_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  SSL* ssl() { return ssl_; }

  void put(std::string_view encrypted) override {
    BIO_write(in_, encrypted.data(), size_of(encrypted.size()));
  }
  std::string take() override {
    std::string bytes(BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) BIO_read(out_, bytes.data(), size_of(bytes.size()));
    return bytes;
  }
  State advance() override {
    if (state_ != State::kHandshake) return state_;
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    if (result == 1) {
      state_ = State::kOpen;
    } else {
      note(result);
    }
    return state_;
  }
  State state() const override { return state_; }
  size_t read(char* to, size_t n) override {
    if (state_ != State::kOpen) return 0;
    ERR_clear_error();
    const int result = SSL_read(ssl_, to, size_of(n));
    if (result > 0) return static_cast<size_t>(result);
    note(result);
    return 0;
  }
  bool has_pending() const override { return SSL_pending(ssl_) > 0 || BIO_ctrl_pending(in_) > 0; }
  void write(std::string_view plain) override {
    ERR_clear_error();
    const int result = SSL_write(ssl_, plain.data(), size_of(plain.size()));
    if (result <= 0) note(result);
  }
  void close() override {
    if (state_ != State::kOpen && state_ != State::kClosed) return;
    ERR_clear_error();
    SSL_shutdown(ssl_);
  }
  const std::string& error() const override { return error_; }

 private:
  // Of a call that did not do what it was for.
  void note(int result) {
    const int code = SSL_get_error(ssl_, result);
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) return;
    if (code == SSL_ERROR_ZERO_RETURN) {
      state_ = State::kClosed;
      return;
    }
    state_ = State::kFailed;
    const long verified = SSL_get_verify_result(ssl_);
    error_ = take_problem();
    if (verified != X509_V_OK && SSL_get_verify_mode(ssl_) != SSL_VERIFY_NONE) {
      error_ += std::string(": ") + X509_verify_cert_error_string(verified);
    }
  }

  ContextPtr context_;
  SSL* ssl_;
  BIO* in_;   // of ssl_
  BIO* out_;  // likewise
  State state_ = State::kHandshake;
  std::string error_;
};

class ServerContext : public TlsContext {
 public:
  ServerContext(const std::string& cert_file, const std::string& key_file)
      : context_(make_context(TLS_server_method())) {
    read_text_file(cert_file);  // or a better message than OpenSSL's
    read_text_file(key_file);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context_.get(), cert_file.c_str()) != 1) {
      fail(ErrorCode::kCorrupt, "{}: no certificate in PEM form: {}", cert_file, take_problem());
    }
    if (SSL_CTX_use_PrivateKey_file(context_.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
      const unsigned long code = ERR_peek_error();
      if (ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH) {
        fail(ErrorCode::kInvalidArgument, "{} is not the key of {}", key_file, cert_file);
      }
      fail(ErrorCode::kCorrupt, "{}: no key in PEM form without a password: {}", key_file,
           take_problem());
    }
    if (SSL_CTX_check_private_key(context_.get()) != 1) {  // of another kind than the certificate
      fail(ErrorCode::kInvalidArgument, "{} is not the key of {}", key_file, cert_file);
    }
  }
  std::unique_ptr<TlsSession> open(const std::string& /*host*/) const override {
    auto session = std::make_unique<Session>(context_);
    SSL_set_accept_state(session->ssl());
    return session;
  }

 private:
  ContextPtr context_;
};

class ClientContext : public TlsContext {
 public:
  ClientContext(const std::string& ca_file, bool insecure)
      : context_(make_context(TLS_client_method())) {
    SSL_CTX_set_verify(context_.get(), insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
    if (insecure) return;
    if (ca_file.empty()) {
      SSL_CTX_set_default_verify_paths(context_.get());
      return;
    }
    read_text_file(ca_file);
    ERR_clear_error();
    if (SSL_CTX_load_verify_locations(context_.get(), ca_file.c_str(), nullptr) != 1) {
      fail(ErrorCode::kCorrupt, "{}: no certificates in PEM form: {}", ca_file, take_problem());
    }
  }
  std::unique_ptr<TlsSession> open(const std::string& host) const override {
    auto session = std::make_unique<Session>(context_);
    SSL* ssl = session->ssl();
    SSL_set_connect_state(ssl);
    unsigned char address[sizeof(in6_addr)];
    const bool is_address = inet_pton(AF_INET, host.c_str(), address) == 1 ||
                            inet_pton(AF_INET6, host.c_str(), address) == 1;
    const bool is_set = is_address
                            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1
                            : SSL_set_tlsext_host_name(ssl, host.c_str()) == 1 &&
                                  SSL_set1_host(ssl, host.c_str()) == 1;
    if (!is_set) fail(ErrorCode::kInvalidArgument, "{}: no name that a certificate can have", host);
    return session;
  }

 private:
  ContextPtr context_;
};

}  // namespace

std::shared_ptr<const TlsContext> make_tls_server(const std::string& cert_file,
                                                  const std::string& key_file) {
  return std::make_shared<ServerContext>(cert_file, key_file);
}

std::shared_ptr<const TlsContext> make_tls_client(const std::string& ca_file, bool insecure) {
  return std::make_shared<ClientContext>(ca_file, insecure);
}

}  // namespace tq
