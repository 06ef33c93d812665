/* turboquant.h: the C interface of libturboquant, which compresses language models and runs them.
 * C99.
 *
 * Handles are opaque. Functions that can fail return a tq_status; on anything but TQ_OK the calling
 * thread's tq_last_error() says what happened and what to do, and results are not touched. Nothing
 * throws or aborts, whatever is passed in, but pointers must be valid, and texts end with a 0 byte.
 * Texts are UTF-8. What is returned through a `char **` or `int32_t **` belongs to the caller, who
 * frees it with tq_free().
 *
 * A tq_model may be used by any number of threads at a time: their requests are computed together.
 * docs/c-api.md has examples. */
#ifndef TURBOQUANT_TURBOQUANT_H
#define TURBOQUANT_TURBOQUANT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TQ_API __attribute__((visibility("default")))

/* Raised when a function changes in a way that programs notice: compare with tq_abi_version(). */
#define TQ_ABI_VERSION 1

/* The numbers are those of tq's exit codes. */
typedef enum tq_status {
  TQ_OK = 0,
  TQ_INVALID_ARGUMENT = 2, /* a wrong option, prompt or request */
  TQ_NOT_FOUND = 3,        /* a file that must exist does not */
  TQ_CORRUPT = 4,          /* a file that contradicts itself or its format's rules */
  TQ_UNSUPPORTED = 5,      /* valid, but nothing that this build computes correctly */
  TQ_IO = 6,               /* the system refused to read or write */
  TQ_NO_SPACE = 7,         /* the disk is full, or would be */
  TQ_OUT_OF_MEMORY = 8,
  TQ_DEVICE = 9,     /* a GPU failed */
  TQ_INTERNAL = 70,  /* a fault of the library: please report it */
  TQ_CANCELLED = 130 /* by a callback, a tq_stop or tq_model_close() */
} tq_status;

/* An option by its name on tq's command line, without dashes in front: {"kv-format", "k4v3"}. A
 * switch has the value "true" or "false"; one that may be repeated may come again. */
typedef struct tq_option {
  const char* name;
  const char* value;
} tq_option;

typedef struct tq_model tq_model;
typedef struct tq_stop tq_stop;

/* How far an operation is, in bytes. Another result than 0 ends the operation with TQ_CANCELLED. */
typedef int (*tq_progress_fn)(int64_t done, int64_t total, void* user);

TQ_API const char* tq_version(void); /* "0.1.0" */
TQ_API int tq_abi_version(void);     /* the library's TQ_ABI_VERSION */

/* "ok", "invalid_argument", ... "internal" for a number that is none. */
TQ_API const char* tq_status_name(tq_status status);

/* Of the last call on this thread that failed; "" before there was one. Valid until the thread's
 * next call. */
TQ_API const char* tq_last_error(void);

/* NULL is fine. */
TQ_API void tq_free(void* memory);

/* What the library has to say besides errors: warnings, and notes on what it chooses. Called on any
 * thread, in the middle of calls: it must not call the library. NULL: warnings go to stderr, notes
 * nowhere, which is how it begins. */
typedef void (*tq_log_fn)(int is_warning, const char* message, void* user);
TQ_API void tq_set_log(tq_log_fn log, void* user);

/* A switch that ends operations: of one thread, or of many. Free it after the calls that have it.
 */
TQ_API tq_stop* tq_stop_new(void);      /* NULL: no memory */
TQ_API void tq_stop_now(tq_stop* stop); /* from any thread; it stays thrown */
TQ_API void tq_stop_free(tq_stop* stop);

/* Loads a model: a folder, a file, ORG/NAME of the Hugging Face hub or synth:NAME. options: those
 * of `tq serve` on models, chat-template, max-num-seqs and host-cache. progress may be NULL. */
TQ_API tq_status tq_model_open(const char* path, const tq_option* options, size_t n_options,
                               tq_progress_fn progress, void* user, tq_model** model);

/* Frees the model; calls under way in other threads end with TQ_CANCELLED, and none may begin. NULL
 * is fine. */
TQ_API void tq_model_close(tq_model* model);

/* {"path", "arch", "device", "context", "max_num_seqs", "vocab", "has_chat_template", "load_s"} as
 * JSON. */
TQ_API tq_status tq_model_describe(const tq_model* model, char** json);

/* Ids of a text; add_special: with what the tokenizer puts around texts. */
TQ_API tq_status tq_tokenize(const tq_model* model, const char* text, int add_special,
                             int32_t** ids, size_t* n_ids);
/* The bytes of the ids as text, of n_bytes without the 0 behind (a 0 byte can be one of them). */
TQ_API tq_status tq_detokenize(const tq_model* model, const int32_t* ids, size_t n_ids,
                               int skip_special, char** text, size_t* n_bytes);

/* The text that the model's chat template makes of a request with "messages". */
TQ_API tq_status tq_apply_chat_template(const tq_model* model, const char* request, char** text);

/* Answers a request: a JSON object as /v1/completions (with "prompt") or /v1/chat/completions (with
 * "messages") of `tq serve` take it; names of the command line's sampling options are understood,
 * unknown ones refused. Returns the whole answer as these routes give it. stop may be NULL. */
TQ_API tq_status tq_generate(const tq_model* model, const char* request, tq_stop* stop,
                             char** answer);

typedef enum tq_piece_kind {
  TQ_PIECE_TEXT = 0,      /* of the answer */
  TQ_PIECE_REASONING = 1, /* of what the model thinks before */
  TQ_PIECE_CALL =
      2, /* a call of a tool: text is {"id", "type", "function": {"name", "arguments"}} */
  TQ_PIECE_END = 3,  /* of a choice: text is "stop", "length" or "tool_calls" */
  TQ_PIECE_USAGE = 4 /* the last: text is {"prompt_tokens", "completion_tokens", ...} */
} tq_piece_kind;

typedef struct tq_piece {
  tq_piece_kind kind;
  int choice; /* of the request's "n", or of its prompts */
  const char* text;
  size_t n_bytes;
  const char*
      chunk; /* the whole piece as JSON, as the route streams it: log probabilities are there */
} tq_piece;

/* A piece of an answer; valid until it returns. Another result than 0 ends the answer. */
typedef int (*tq_piece_fn)(const tq_piece* piece, void* user);

/* As tq_generate(), with the answer told as it comes, on the calling thread. */
TQ_API tq_status tq_stream(const tq_model* model, const char* request, tq_piece_fn on_piece,
                           void* user, tq_stop* stop);

/* What a long operation is watched with. */
typedef struct tq_watch {
  tq_progress_fn progress; /* may be NULL; called on any thread */
  void* user;              /* its */
  tq_stop* stop;           /* may be NULL */
} tq_watch;

/* Compresses a checkpoint into a folder. options: those of `tq convert` but for measured plans.
 * A conversion that was ended goes on where it left off when it is asked for again. watch and
 * report may be NULL; report: what `tq convert --json` says, without facts about the build. */
TQ_API tq_status tq_convert(const char* source, const char* destination, const tq_option* options,
                            size_t n_options, const tq_watch* watch, char** report);

/* What a checkpoint is and what running it takes, as `tq inspect --json` says it; list_tensors:
 * with all tensors. Reads no weights. */
TQ_API tq_status tq_inspect(const char* path, int list_tensors, char** json);

/* Re-hashes a checkpoint that was converted: {"sound": true, "kind", "checked", "tensors", "bytes",
 * "faults", "edited", "extra", ...}. One that is damaged is TQ_OK and not sound. */
TQ_API tq_status tq_verify(const char* path, const tq_watch* watch, char** json);

#ifdef __cplusplus
}
#endif

#endif /* TURBOQUANT_TURBOQUANT_H */
