#include "eval/language.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Language, SentencesAreOfTheirLanguage) {
  const std::pair<const char*, const char*> texts[] = {
      {"The kettle holds 1.7 litres and costs 79 euros.", "en"},
      {"I don't know, the sheet does not say that.", "en"},
      {"Sorry, that is not possible.", "en"},
      {"Suosittelen Tuisku-sähköpyörää, koska reitillä on paljon mäkiä.", "fi"},
      {"En tiedä, minkä merkkinen moottori siinä on.", "fi"},
      {"Kirjautuminen avautuu itsestään 30 minuutin kuluttua.", "fi"},
      {"Oona on nuorin, koska hän on nuorempi kuin Matti.", "fi"},
      {"Jag rekommenderar Ripa 2, som väger 2,1 kg.", "sv"},
      {"Frakten är fri eftersom tältet kostar mer än 1000 kronor.", "sv"},
      {"Det vet jag tyvärr inte.", "sv"},
      {"我不知道，请稍后再试。", "other"},
      {"Я не знаю, что это такое.", "other"},
      {"asdf qwer zxcv lkjh poiu mnbv", ""},
      {"Ok", ""},
      {"", ""}};
  for (const auto& [text, language] : texts) EXPECT_EQ(detect_language(text), language) << text;
}

TEST(Language, MixturesAreOfNone) {
  EXPECT_EQ(detect_language("Hyvää päivää, olen täällä ja autan mielelläni. The kettle is in the "
                            "kitchen and it is hot."),
            "");
}

TEST(Language, WordsAreFoldedAndWhole) {
  EXPECT_THAT(words_of("ÄLÄ  tee—näin, don't! Wi-Fi 10:n"),
              ElementsAre("älä", "tee", "näin", "don't", "wi-fi", "10", "n"));
  EXPECT_THAT(words_of("- ' \xFF"), IsEmpty());
  EXPECT_EQ(fold_case("ÅÄÖ ŽÿΩЖЁ ×"), "åäö žÿωжё ×");
  EXPECT_EQ(fold_case("a\xC3"), "a\xEF\xBF\xBD");  // cut in the middle of a character
}

}  // namespace
}  // namespace tq
