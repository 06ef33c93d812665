/* The C interface, used by a program in C: usage: test_capi MODEL RESULT: a tiny model with the tokenizer and the
 * chat template of tests/cli/cli_support.py, and a folder to be made. Prints the greedy answer to "abc", for the caller to compare. */
#include <pthread.h>
#include <string.h>
#include <turboquant/turboquant.h>

#include "check.h"

static const char kPrompt[] = "{\"prompt\": \"abc\", \"temp\": 0, \"max_tokens\": 12}";
static const char kChat[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"abc\"}], \"temperature\": 0, \"max_tokens\": 8}";
static const char kLong[] = "{\"prompt\": \"abc\", \"max_tokens\": -1, \"ignore_eos\": true}";

static tq_model* open_model(const char* path) {
  const tq_option options[] = {{"device", "cpu"}, {"threads", "2"}, {"max-num-seqs", "4"},
                               {"ctx", "auto"},   {"exact", "true"}};
  tq_model* model = NULL;
  CHECK(tq_model_open(path, options, 5, NULL, NULL, &model) == TQ_OK);
  CHECK(model != NULL);
  return model;
}

static int log_calls = 0;
static void count_log(int is_warning, const char* message, void* user) {
  CHECK(message[0] != '\0');
  CHECK(user == &log_calls);
  (void)is_warning;
  ++log_calls;
}

static int refuse_progress(int64_t done, int64_t total, void* user) {
  CHECK(done <= total);
  ++*(int*)user;
  return 1;
}

static void test_bad_input(const char* path) {
  const struct {
    tq_option option;
    const char* message;
  } wrong[] = {{{"ctx", "many"}, "ctx"},           {{"kv-fromat", "f16"}, "kv_format"},
               {{"threads", "2.5"}, "threads"},    {{"exact", "perhaps"}, "exact"},
               {{NULL, "1"}, "NULL"},              {{"ctx", NULL}, "NULL"},
               {{"max-num-seqs", "0"}, "max_num_seqs"}};
  tq_model* model = NULL;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    CHECK(tq_model_open(path, &wrong[i].option, 1, NULL, NULL, &model) == TQ_INVALID_ARGUMENT);
    CHECK(strstr(tq_last_error(), wrong[i].message) != NULL);
    CHECK(model == NULL);
  }
  CHECK(tq_model_open("/nowhere/at/all", NULL, 0, NULL, NULL, &model) == TQ_NOT_FOUND);
  CHECK(strstr(tq_last_error(), "/nowhere/at/all") != NULL);
  CHECK(tq_model_open(NULL, NULL, 0, NULL, NULL, &model) == TQ_INVALID_ARGUMENT);
  CHECK(tq_model_open(path, NULL, 1, NULL, NULL, &model) == TQ_INVALID_ARGUMENT);
  CHECK(tq_model_open(path, NULL, 0, NULL, NULL, NULL) == TQ_INVALID_ARGUMENT);
  int calls = 0;
  CHECK(tq_model_open(path, NULL, 0, refuse_progress, &calls, &model) == TQ_CANCELLED);
  CHECK(calls == 1);
  CHECK(model == NULL);
  tq_model_close(NULL);
  tq_free(NULL);
  tq_stop_free(NULL);
  CHECK(strcmp(tq_status_name(TQ_NO_SPACE), "no_space") == 0);
  CHECK(strcmp(tq_status_name(TQ_OK), "ok") == 0);
  CHECK(strcmp(tq_status_name((tq_status)99), "internal") == 0);
}

static void test_tokens(const tq_model* model) {
  int32_t* ids = NULL;
  size_t n_ids = 0;
  CHECK(tq_tokenize(model, "abc", 1, &ids, &n_ids) == TQ_OK);
  CHECK(n_ids == 4 && ids[0] == 0 && ids[1] == 4 && ids[2] == 5 && ids[3] == 6);
  char* text = NULL;
  size_t n_bytes = 0;
  CHECK(tq_detokenize(model, ids, n_ids, 1, &text, &n_bytes) == TQ_OK);
  CHECK(n_bytes == 3 && strcmp(text, "abc") == 0);
  tq_free(text);
  tq_free(ids);
  CHECK(tq_tokenize(model, "", 0, &ids, &n_ids) == TQ_OK);
  CHECK(n_ids == 0);
  tq_free(ids);
  const int32_t wrong[] = {-1};
  CHECK(tq_detokenize(model, wrong, 1, 1, &text, &n_bytes) == TQ_INVALID_ARGUMENT);
  CHECK(tq_tokenize(NULL, "abc", 1, &ids, &n_ids) == TQ_INVALID_ARGUMENT);
  CHECK(tq_apply_chat_template(model, kChat, &text) == TQ_OK);
  CHECK(strcmp(text, "<s><user>abc<model>") == 0);
  tq_free(text);
  CHECK(tq_model_describe(model, &text) == TQ_OK);
  CHECK(strstr(text, "\"arch\":\"llama\"") != NULL);
  tq_free(text);
}

typedef struct Heard {
  char text[4096];
  char end[16];
  int n_pieces;
  int n_usage;
  int stop_after; /* pieces; 0: never */
} Heard;

static int hear(const tq_piece* piece, void* user) {
  Heard* heard = user;
  ++heard->n_pieces;
  CHECK(strlen(piece->text) == piece->n_bytes);
  CHECK(piece->chunk[0] == '{');
  if (piece->kind == TQ_PIECE_TEXT) {
    CHECK(strlen(heard->text) + piece->n_bytes < sizeof heard->text);
    strcat(heard->text, piece->text);
  } else if (piece->kind == TQ_PIECE_END) {
    CHECK(piece->n_bytes < sizeof heard->end);
    strcpy(heard->end, piece->text);
  } else if (piece->kind == TQ_PIECE_USAGE) {
    CHECK(strstr(piece->text, "\"prompt_tokens\":4") != NULL);
    ++heard->n_usage;
  }
  return heard->stop_after > 0 && heard->n_pieces >= heard->stop_after;
}

/* The text of {"choices": [{"index": 0, "text": "..." of an answer without escapes. */
static void read_text(const char* answer, char* text, size_t size) {
  const char* begin = strstr(answer, "\"text\":\"");
  CHECK(begin != NULL);
  begin += 8;
  const char* end = strchr(begin, '"');
  CHECK(end != NULL && (size_t)(end - begin) < size);
  memcpy(text, begin, (size_t)(end - begin));
  text[end - begin] = '\0';
}

static void test_answers(const tq_model* model, char* text, size_t size) {
  char* answer = NULL;
  CHECK(tq_generate(model, kPrompt, NULL, &answer) == TQ_OK);
  CHECK(strstr(answer, "\"completion_tokens\":12") != NULL);
  read_text(answer, text, size);
  tq_free(answer);
  Heard heard = {.stop_after = 0};
  CHECK(tq_stream(model, kPrompt, hear, &heard, NULL) == TQ_OK);
  CHECK(strcmp(heard.text, text) == 0);
  CHECK(strcmp(heard.end, "length") == 0);
  CHECK(heard.n_usage == 1);
  CHECK(tq_generate(model, kChat, NULL, &answer) == TQ_OK);
  CHECK(strstr(answer, "\"role\":\"assistant\"") != NULL);
  tq_free(answer);
  const char* wrong[] = {"{}", "", "[]", "{\"prompt\": \"a\", \"messages\": []}", "{\"prompt\": 1}",
                         "{\"prompt\": \"a\", \"temp\": -1}", "{\"prompt\": \"a\", \"tempp\": 1}",
                         "{\"prompt\": \"a\", \"stream\": true}",
                         "{\"prompt\": \"a\", \"temp\": 1, \"temperature\": 1}",
                         "{\"prompt\": \"a\", \"regex\": \"(\"}", "{\"messages\": [{}]}"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    answer = NULL;
    CHECK(tq_generate(model, wrong[i], NULL, &answer) == TQ_INVALID_ARGUMENT);
    CHECK(answer == NULL);
    CHECK(tq_last_error()[0] != '\0');
    CHECK(tq_stream(model, wrong[i], hear, &heard, NULL) == TQ_INVALID_ARGUMENT);
  }
  CHECK(tq_generate(model, NULL, NULL, &answer) == TQ_INVALID_ARGUMENT);
  CHECK(tq_stream(model, kPrompt, NULL, NULL, NULL) == TQ_INVALID_ARGUMENT);
}

typedef struct Job {
  const tq_model* model;
  tq_stop* stop;
  tq_status status;
  char error[64];
} Job;

static void* run_long(void* user) {
  Job* job = user;
  char* answer = NULL;
  job->status = tq_generate(job->model, kLong, job->stop, &answer);
  CHECK(strlen(tq_last_error()) < sizeof job->error);
  strcpy(job->error, tq_last_error());
  tq_free(answer);
  return NULL;
}

static void test_cancelling(const tq_model* model) {
  Heard heard = {.stop_after = 3};
  CHECK(tq_stream(model, kLong, hear, &heard, NULL) == TQ_CANCELLED);
  CHECK(heard.n_pieces == 3);
  Job jobs[2];
  pthread_t threads[2];
  tq_stop* stop = tq_stop_new();
  for (int i = 0; i < 2; ++i) {
    jobs[i] = (Job){model, stop, TQ_OK, ""};
    CHECK(pthread_create(&threads[i], NULL, run_long, &jobs[i]) == 0);
  }
  tq_stop_now(stop);
  for (int i = 0; i < 2; ++i) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(jobs[i].status == TQ_CANCELLED);
    CHECK(strcmp(jobs[i].error, "cancelled") == 0);
  }
  CHECK(tq_stream(model, kPrompt, hear, &heard, stop) == TQ_CANCELLED); /* it stays thrown */
  tq_stop_free(stop);
}

static void test_closing(tq_model* model) {
  Job job = {model, NULL, TQ_OK, ""};
  Heard heard = {.stop_after = 1}; /* so that the model is known to run */
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, run_long, &job) == 0);
  CHECK(tq_stream(model, kPrompt, hear, &heard, NULL) == TQ_CANCELLED);
  tq_model_close(model);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(job.status == TQ_CANCELLED);
}

static int count_progress(int64_t done, int64_t total, void* user) {
  CHECK(done <= total);
  ++*(int*)user;
  return 0;
}

static void test_files(const char* path, const char* result) {
  const tq_option wrong[] = {{"format", "tq9"}};
  const tq_option options[] = {{"format", "tq4"}, {"effort", "fast"}, {"shard-size", "1GB"}, {"threads", "2"}};
  char* json = NULL;
  CHECK(tq_convert(path, result, wrong, 1, NULL, &json) == TQ_INVALID_ARGUMENT);
  CHECK(json == NULL && strstr(tq_last_error(), "tq9") != NULL);
  int calls = 0;
  const tq_watch stops = {refuse_progress, &calls, NULL};
  CHECK(tq_convert(path, result, options, 4, &stops, &json) == TQ_CANCELLED);
  CHECK(calls > 0 && json == NULL);
  tq_stop* stop = tq_stop_new();
  const tq_watch watch = {count_progress, &calls, stop};
  calls = 0;
  CHECK(tq_convert(path, result, options, 4, &watch, &json) == TQ_OK);
  CHECK(calls > 0 && strstr(json, "\"format\":\"tq4\"") != NULL);
  tq_free(json);
  CHECK(tq_verify(result, &watch, &json) == TQ_OK);
  CHECK(strstr(json, "\"sound\":true") != NULL);
  tq_free(json);
  tq_stop_now(stop);
  CHECK(tq_verify(result, &watch, &json) == TQ_CANCELLED);
  tq_stop_free(stop);
  CHECK(tq_inspect(result, 1, &json) == TQ_OK);
  CHECK(strstr(json, "\"kind\":\"native\"") != NULL && strstr(json, "tensor_list") != NULL);
  tq_free(json);
  CHECK(tq_inspect("/nowhere/at/all", 0, &json) == TQ_NOT_FOUND);
  CHECK(tq_convert(NULL, result, NULL, 0, NULL, NULL) == TQ_INVALID_ARGUMENT);
  CHECK(tq_convert(path, NULL, NULL, 0, NULL, NULL) == TQ_INVALID_ARGUMENT);
  CHECK(tq_verify(result, NULL, NULL) == TQ_INVALID_ARGUMENT);
}

int main(int argc, char** argv) {
  CHECK(argc == 3);
  CHECK(tq_abi_version() == TQ_ABI_VERSION);
  CHECK(strlen(tq_version()) > 0);
  CHECK(strcmp(tq_last_error(), "") == 0);
  tq_set_log(count_log, &log_calls);
  test_bad_input(argv[1]);
  test_files(argv[1], argv[2]);
  tq_model* model = open_model(argv[1]);
  char text[256];
  test_tokens(model);
  test_answers(model, text, sizeof text);
  CHECK(log_calls > 0);
  tq_set_log(NULL, NULL);
  test_cancelling(model);
  test_closing(model);
  puts(text);
  return 0;
}
