// TLS 1.2 and later on bytes that others carry: neither sockets nor threads. By OpenSSL; a build
// without it (TQ_TLS) has contexts that throw.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace tq {

// One side of a connection. One thread.
class TlsSession {
 public:
  enum class State {
    kHandshake,  // bytes of the peer are needed before anything can be said
    kOpen,
    kClosed,  // the peer has said that no more comes
    kFailed,  // error() says why; what take() gives tells the peer
  };
  virtual ~TlsSession() = default;

  // What came from the peer, and what is to be sent to it.
  virtual void put(std::string_view encrypted) = 0;
  virtual std::string take() = 0;

  // Goes on with the handshake as far as what came lets it.
  virtual State advance() = 0;
  virtual State state() const = 0;
  // Up to n bytes that the peer said; 0: it takes more of what it sends, or the state has changed.
  virtual size_t read(char* to, size_t n) = 0;
  // Whether read() may give something although nothing new was put.
  virtual bool has_pending() const = 0;
  // Only when open.
  virtual void write(std::string_view plain) = 0;
  // Says that no more comes.
  virtual void close() = 0;
  virtual const std::string& error() const = 0;
};

class TlsContext {
 public:
  virtual ~TlsContext() = default;
  // host: of a client, the name or address that the server's certificate must be of.
  virtual std::unique_ptr<TlsSession> open(const std::string& host) const = 0;
};

// With a certificate (its chain behind it) and its key, PEM files. Throws kNotFound, kIo or
// kCorrupt naming the file, kInvalidArgument where they do not belong together, kUnsupported in a
// build without TLS.
std::shared_ptr<const TlsContext> make_tls_server(const std::string& cert_file,
                                                  const std::string& key_file);
// ca_file: certificates that are trusted, PEM; empty: the system's. insecure: any certificate is
// taken. Throws as above.
std::shared_ptr<const TlsContext> make_tls_client(const std::string& ca_file, bool insecure);

}  // namespace tq
