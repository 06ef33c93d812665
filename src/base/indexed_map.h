// The object type of Json: keeps the order of keys like nlohmann::ordered_map, but finds them
// through an index once it is large, where ordered_map scans: an object of n keys takes O(n), not
// O(n^2), to build.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace tq {

template <class Key, class T, class Ignored = std::less<Key>,
          class Allocator = std::allocator<std::pair<const Key, T>>>
class IndexedMap : public nlohmann::ordered_map<Key, T, Ignored, Allocator> {
 public:
  using Base = nlohmann::ordered_map<Key, T, Ignored, Allocator>;
  using Base::at;
  using Base::Base;
  using typename Base::const_iterator;
  using typename Base::Container;
  using typename Base::iterator;

  IndexedMap() = default;
  IndexedMap(const IndexedMap& other) : Base(other) {}
  IndexedMap(IndexedMap&&) noexcept = default;
  IndexedMap& operator=(const IndexedMap& other) {
    Base::operator=(other);
    index_.reset();
    return *this;
  }
  IndexedMap& operator=(IndexedMap&&) noexcept = default;

  template <class K>
  iterator find(K&& key) {
    return this->begin() + position(key);
  }
  template <class K>
  const_iterator find(K&& key) const {
    return this->begin() + position(key);
  }
  template <class K>
  size_t count(K&& key) const {
    return find(key) != this->end() ? 1 : 0;
  }
  template <class K>
  std::pair<iterator, bool> emplace(K&& key, T&& value) {
    if (this->size() >= kScanned) extend_index();
    const auto place = position(key);
    if (place != static_cast<std::ptrdiff_t>(this->size())) return {this->begin() + place, false};
    Container::emplace_back(Key(std::forward<K>(key)), std::forward<T>(value));
    return {std::prev(this->end()), true};
  }
  template <class K>
  T& operator[](K&& key) {
    return emplace(std::forward<K>(key), T{}).first->second;
  }
  template <class... Args>
  auto erase(Args&&... args) {
    index_.reset();
    return Base::erase(std::forward<Args>(args)...);
  }

 private:
  static constexpr size_t kScanned = 32;  // keys below which scanning is as fast
  struct Hash {                           // of keys and of views of them
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>{}(key); }
  };
  using Index = std::unordered_map<Key, size_t, Hash, std::equal_to<>>;

  void extend_index() {
    if (!index_) index_ = std::make_unique<Index>();
    while (index_->size() < this->size()) {
      const size_t next = index_->size();
      index_->emplace(Container::operator[](next).first, next);
    }
  }

  // Position of the key, size() when absent. The index may lag behind by what was added last: the
  // rest is scanned.
  template <class K>
  std::ptrdiff_t position(const K& key) const {
    const size_t indexed = index_ ? index_->size() : 0;
    if (index_) {
      const auto found = index_->find(std::string_view(key));
      if (found != index_->end()) return static_cast<std::ptrdiff_t>(found->second);
    }
    for (size_t i = indexed; i < this->size(); ++i) {
      if (Container::operator[](i).first == key) return static_cast<std::ptrdiff_t>(i);
    }
    return static_cast<std::ptrdiff_t>(this->size());
  }

  std::unique_ptr<Index> index_;
};

}  // namespace tq
