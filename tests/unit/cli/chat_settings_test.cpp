#include "cli/chat/chat_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/chat/chat_commands.h"
#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::HasSubstr;

TEST(ChatSettings, EveryNameOfASetting) {
  ChatSettings s;
  change_setting(s, "temp", "0.5");
  EXPECT_EQ(s.sampling.temperature, 0.5f);
  change_setting(s, "Temperature", "0.7");
  EXPECT_EQ(s.sampling.temperature, 0.7f);
  change_setting(s, "top_k", "40");
  change_setting(s, "top-p", "0.9");
  change_setting(s, "min_p", "0.05");
  EXPECT_EQ(list_sampling(s.sampling), "temperature 0.7, top-k 40, top-p 0.9, min-p 0.05, seed 0");
  change_setting(s, "num_predict", "30");
  EXPECT_EQ(s.max_tokens, 30);
  change_setting(s, "n", "auto");
  EXPECT_EQ(s.max_tokens, std::nullopt);
  change_setting(s, "stop", "\" END\"");
  EXPECT_EQ(s.sampling.stop, std::vector<std::string>{" END"});
  change_setting(s, "stop", "off");
  EXPECT_TRUE(s.sampling.stop.empty());
  change_setting(s, "think", "");
  EXPECT_EQ(s.reasoning.think, "on");
  change_setting(s, "nothink", "");
  EXPECT_EQ(s.reasoning.think, "off");
  change_setting(s, "think", "auto");
  EXPECT_EQ(s.reasoning.think, "");
  change_setting(s, "context_full", "drop-oldest");
  EXPECT_TRUE(s.drop_oldest);
  change_setting(s, "nowordwrap", "");
  EXPECT_FALSE(s.wrap);
  change_setting(s, "wordwrap", "");
  EXPECT_TRUE(s.wrap);
  change_setting(s, "verbose", "off");
  EXPECT_FALSE(s.stats);
  EXPECT_THAT(list_settings(s), HasSubstr("top-k              40"));
}

TEST(ChatSettings, WrongValuesChangeNothing) {
  ChatSettings s;
  s.sampling.temperature = 0.7f;
  for (const auto& wrong :
       std::vector<std::pair<std::string, std::string>>{{"temperature", "hot"},
                                                        {"temperature", "-1"},
                                                        {"temperature", "nan"},
                                                        {"temperature", ""},
                                                        {"temperature", "1 2"},
                                                        {"top-k", "1.5"},
                                                        {"top-k", "-1"},
                                                        {"top-p", "1.5"},
                                                        {"max-tokens", "0"},
                                                        {"seed", "x"},
                                                        {"think", "maybe"},
                                                        {"context-full", "explode"},
                                                        {"wrap", "80"},
                                                        {"reasoning", "loud"},
                                                        {"nonsense", "1"},
                                                        {"stop", ""},
                                                        {"repeat-penalty", "0"},
                                                        {"", ""}}) {
    expect_error(ErrorCode::kInvalidArgument, {},
                 [&] { change_setting(s, wrong.first, wrong.second); });
    EXPECT_EQ(s.sampling.temperature, 0.7f);
  }
  expect_error(ErrorCode::kInvalidArgument, {"--ctx 8192"},
               [&] { change_setting(s, "num_ctx", "8192"); });
  EXPECT_EQ(list_settings(s), list_settings([] {
              ChatSettings fresh;
              fresh.sampling.temperature = 0.7f;
              return fresh;
            }()));
}

TEST(ChatSettings, DescribesWhatIsNotOff) {
  SamplingParams params;
  EXPECT_EQ(list_sampling(params), "greedy");
  params.repetition_penalty = 1.1f;
  EXPECT_EQ(list_sampling(params), "greedy, repeat-penalty 1.1");
}

TEST(ChatCommands, EveryNameFindsItsCommand) {
  const auto name = [](std::string_view text) {
    const ChatCommand* command = find_chat_command(text);
    return command == nullptr ? std::string_view() : command->name;
  };
  for (const auto* quit : {"/quit", "/exit", "/bye", "/q"}) EXPECT_EQ(name(quit), "/quit");
  for (const auto* clear : {"/clear", "/reset", "/new"}) EXPECT_EQ(name(clear), "/clear");
  for (const auto* retry : {"/retry", "/regen"}) EXPECT_EQ(name(retry), "/retry");
  for (const auto* help : {"/help", "/?"}) EXPECT_EQ(name(help), "/help");
  EXPECT_EQ(name("/stats"), "/stats");
  EXPECT_EQ(name("/"), "");
  EXPECT_EQ(name(""), "");
  EXPECT_EQ(name("/hel"), "");
  for (const auto* listed :
       {"/save FILE", "/load FILE", "/set [NAME VALUE]", "/undo", "/continue"}) {
    EXPECT_THAT(chat_help(), HasSubstr(listed));
  }
}

}  // namespace
}  // namespace tq
