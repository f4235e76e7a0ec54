// C++17 over kvhandoff.h, header only. Objects own their handle, can be moved and not copied, and close it at their end. Calls come in two
// forms: name() throws kvh::error, try_name() returns the status and gives results through its last parameter. Texts (text(), path(), ...) are
// empty where there is none.
#ifndef KVHANDOFF_HPP
#define KVHANDOFF_HPP

#include "kvhandoff.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Where argument-dependent lookup finds it.
inline bool operator==(const kvh_uuid& a, const kvh_uuid& b) noexcept { return std::memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0; }

namespace kvh {

/// A status below zero as an exception; the text is the library's.
class error : public std::runtime_error {
   public:
    error(kvh_status status, const std::string& text, const kvh_error_info& info)
        : std::runtime_error(std::string(kvh_status_name(status)) + ": " + text), info_(info) {
        info_.status = status;
    }

    kvh_status status() const noexcept { return info_.status; }
    /// Reason, bytes needed and free, and when to retry, of an offer that was rejected.
    const kvh_error_info& info() const noexcept { return info_; }

   private:
    kvh_error_info info_;
};

/// Elements that somebody else owns.
template <typename T>
class span {
   public:
    constexpr span() noexcept = default;
    constexpr span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <typename Container, typename = decltype(static_cast<T*>(std::declval<Container&>().data()))>
    constexpr span(Container& container) noexcept : data_(container.data()), size_(container.size()) {}
    template <typename Container, typename = decltype(static_cast<T*>(std::declval<const Container&>().data()))>
    constexpr span(const Container& container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr T* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T& operator[](std::size_t i) const noexcept { return data_[i]; }
    constexpr T* begin() const noexcept { return data_; }
    constexpr T* end() const noexcept { return data_ + size_; }

   private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

/// A struct of the C interface with its size set and zeros, that is defaults, in it.
template <typename T>
T make() noexcept {
    T value;
    std::memset(&value, 0, sizeof value);
    value.struct_size = static_cast<std::uint32_t>(sizeof value);
    return value;
}

namespace detail {

template <typename Read>
std::string text(Read read) {
    std::string result(256, '\0');
    for (;;) {
        std::size_t needed = 0;
        kvh_status status = read(&result[0], result.size(), &needed);
        if (status == KVH_OK) {
            result.resize(needed - 1);
            return result;
        }
        if (status != KVH_E_BUFFER) return std::string();
        result.resize(needed);
    }
}

}  // namespace detail

/// Text of the last failure of a handle, or with 0 of this thread.
inline std::string last_error(kvh_handle handle = 0) {
    return detail::text([=](char* buffer, std::size_t capacity, std::size_t* needed) { return kvh_last_error(handle, buffer, capacity, needed); });
}

/// Throws for a failure; other statuses come back.
inline kvh_status check(kvh_status status) {
    if (status >= 0) return status;
    kvh_error_info info = make<kvh_error_info>();
    kvh_last_error_info(0, &info);
    throw error(status, last_error(), info);
}

/// Version, instruction set and attention kernels of the library.
inline std::string version() { return detail::text(kvh_version); }

/// Whether this header fits the library.
inline bool is_compatible() noexcept { return kvh_abi_version() == KVH_ABI_VERSION; }

using milliseconds = std::chrono::milliseconds;
constexpr milliseconds forever{-1};

inline kvh_uuid parse_uuid(const std::string& text) {
    kvh_uuid id{};
    std::size_t nibble = 0;
    for (char c : text) {
        if (c == '-') continue;
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (value < 0 || nibble == 32) throw std::invalid_argument("not a UUID: " + text);
        id.bytes[nibble / 2] = static_cast<std::uint8_t>(nibble % 2 == 0 ? value << 4 : id.bytes[nibble / 2] | value);
        nibble++;
    }
    if (nibble != 32) throw std::invalid_argument("not a UUID: " + text);
    return id;
}

inline std::string to_string(const kvh_uuid& id) {
    std::string text;
    for (int i = 0; i < 16; i++) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", id.bytes[i]);
        text += two;
        if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
    }
    return text;
}

/// Owns a handle.
class object {
   public:
    object() noexcept = default;
    explicit object(kvh_handle handle) noexcept : handle_(handle) {}
    object(object&& other) noexcept : handle_(other.release()) {}
    object& operator=(object&& other) noexcept {
        if (this != &other) {
            try_close();
            handle_ = other.release();
        }
        return *this;
    }
    object(const object&) = delete;
    object& operator=(const object&) = delete;
    ~object() { try_close(); }

    kvh_handle get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != 0; }
    /// Gives the handle away.
    kvh_handle release() noexcept { return std::exchange(handle_, 0); }
    /// Closes it now. After KVH_E_IN_USE it is still open.
    kvh_status try_close() noexcept {
        if (handle_ == 0) return KVH_OK;
        kvh_status status = kvh_close(handle_);
        if (status != KVH_E_IN_USE && status != KVH_E_CALLBACK) handle_ = 0;
        return status;
    }
    void close() { check(try_close()); }
    std::string last_error() const { return kvh::last_error(handle_); }

   protected:
    kvh_handle* out() noexcept {
        try_close();
        return &handle_;
    }

   private:
    kvh_handle handle_ = 0;
};

/// Something that events happen to.
class source : public object {
   public:
    using object::object;

    std::uint32_t poll() const {
        std::uint32_t events = 0;
        check(try_poll(events));
        return events;
    }
    kvh_status try_poll(std::uint32_t& events) const noexcept { return kvh_poll(get(), &events); }

    /// False when the time was over first; throws the failure of a handoff that failed instead.
    bool wait(std::uint32_t mask, milliseconds timeout = forever) const { return check(try_wait(mask, timeout)) == KVH_OK; }
    kvh_status try_wait(std::uint32_t mask, milliseconds timeout = forever) const noexcept { return kvh_wait(get(), mask, timeout.count(), nullptr); }

    void on_event(std::uint32_t mask, kvh_event_fn callback, void* user) const { check(try_on_event(mask, callback, user)); }
    kvh_status try_on_event(std::uint32_t mask, kvh_event_fn callback, void* user) const noexcept { return kvh_on_event(get(), mask, callback, user); }

    void set_eventfd(std::uint32_t mask, int fd) const { check(try_set_eventfd(mask, fd)); }
    kvh_status try_set_eventfd(std::uint32_t mask, int fd) const noexcept { return kvh_set_eventfd(get(), mask, fd); }
};

/// What a cache holds and how it lies in memory.
class layout : public object {
   public:
    using object::object;

    static layout create(const kvh_model& model, span<const kvh_group> groups) {
        layout made;
        check(try_create(model, groups, made));
        return made;
    }
    static kvh_status try_create(const kvh_model& model, span<const kvh_group> groups, layout& made) noexcept {
        return kvh_layout_create(&model, groups.data(), static_cast<std::int32_t>(groups.size()), made.out());
    }
    static layout preset(const kvh_model& model, const kvh_preset& preset) {
        layout made;
        check(try_preset(model, preset, made));
        return made;
    }
    static kvh_status try_preset(const kvh_model& model, const kvh_preset& preset, layout& made) noexcept { return kvh_layout_preset(&model, &preset, made.out()); }

    kvh_layout_info describe() const {
        kvh_layout_info info = make<kvh_layout_info>();
        check(try_describe(info));
        return info;
    }
    kvh_status try_describe(kvh_layout_info& info) const noexcept { return kvh_layout_describe(get(), &info); }
    kvh_geometry geometry(int group = 0) const {
        kvh_geometry geometry = make<kvh_geometry>();
        check(try_geometry(group, geometry));
        return geometry;
    }
    kvh_status try_geometry(int group, kvh_geometry& geometry) const noexcept { return kvh_layout_geometry(get(), group, &geometry); }
    std::int64_t bytes(std::int64_t tokens) const {
        std::int64_t bytes = 0;
        check(try_bytes(tokens, bytes));
        return bytes;
    }
    kvh_status try_bytes(std::int64_t tokens, std::int64_t& bytes) const noexcept { return kvh_layout_bytes(get(), tokens, &bytes); }
    std::string text() const {
        return detail::text([this](char* buffer, std::size_t capacity, std::size_t* needed) { return kvh_layout_text(get(), buffer, capacity, needed); });
    }
};

/// How one cache becomes another.
class plan : public object {
   public:
    using object::object;

    static plan create(const layout& from, const layout& to) {
        plan made;
        check(try_create(from, to, made));
        return made;
    }
    static kvh_status try_create(const layout& from, const layout& to, plan& made) noexcept { return kvh_plan_create(from.get(), to.get(), made.out()); }

    std::uint32_t steps() const {
        std::uint32_t steps = 0;
        check(try_steps(steps));
        return steps;
    }
    kvh_status try_steps(std::uint32_t& steps) const noexcept { return kvh_plan_steps(get(), &steps); }
    kvh_estimate estimate(int tokens, const kvh_link& link) const {
        kvh_estimate estimate = make<kvh_estimate>();
        check(try_estimate(tokens, link, estimate));
        return estimate;
    }
    kvh_status try_estimate(int tokens, const kvh_link& link, kvh_estimate& estimate) const noexcept { return kvh_plan_estimate(get(), tokens, &link, &estimate); }
    std::string text() const {
        return detail::text([this](char* buffer, std::size_t capacity, std::size_t* needed) { return kvh_plan_text(get(), buffer, capacity, needed); });
    }
};

/// A worker's cache, in memory of the library or of the host.
class cache : public object {
   public:
    using object::object;

    static cache create(const layout& described, const kvh_cache_options& options) {
        cache made;
        check(try_create(described, options, made));
        return made;
    }
    static kvh_status try_create(const layout& described, const kvh_cache_options& options, cache& made) noexcept { return kvh_cache_create(described.get(), &options, made.out()); }
    static cache wrap(const layout& described, span<const kvh_group_memory> groups, const kvh_cache_options& options) {
        cache made;
        check(try_wrap(described, groups, options, made));
        return made;
    }
    static kvh_status try_wrap(const layout& described, span<const kvh_group_memory> groups, const kvh_cache_options& options, cache& made) noexcept {
        return kvh_cache_wrap(described.get(), groups.data(), static_cast<std::int32_t>(groups.size()), &options, made.out());
    }

    kvh_cache_info describe() const {
        kvh_cache_info info = make<kvh_cache_info>();
        check(try_describe(info));
        return info;
    }
    kvh_status try_describe(kvh_cache_info& info) const noexcept { return kvh_cache_describe(get(), &info); }
    void give_blocks(int group, span<const std::int32_t> blocks) const { check(try_give_blocks(group, blocks)); }
    kvh_status try_give_blocks(int group, span<const std::int32_t> blocks) const noexcept {
        return kvh_cache_give_blocks(get(), group, blocks.data(), static_cast<std::int32_t>(blocks.size()));
    }
    void take_blocks(int group, span<std::int32_t> blocks) const { check(try_take_blocks(group, blocks)); }
    kvh_status try_take_blocks(int group, span<std::int32_t> blocks) const noexcept {
        return kvh_cache_take_blocks(get(), group, blocks.data(), static_cast<std::int32_t>(blocks.size()));
    }
    span<std::uint8_t> block(int layer, int block, int plane = KVH_KEY) const {
        span<std::uint8_t> memory;
        check(try_block(layer, block, plane, memory));
        return memory;
    }
    kvh_status try_block(int layer, int block, int plane, span<std::uint8_t>& memory) const noexcept {
        void* address = nullptr;
        std::int64_t bytes = 0;
        kvh_status status = kvh_cache_block(get(), layer, block, plane, &address, &bytes);
        memory = {static_cast<std::uint8_t*>(address), static_cast<std::size_t>(bytes)};
        return status;
    }
    void set_scale(int layer, int head, int plane, float scale) const { check(try_set_scale(layer, head, plane, scale)); }
    kvh_status try_set_scale(int layer, int head, int plane, float scale) const noexcept { return kvh_cache_set_scale(get(), layer, head, plane, scale); }
};

/// One sequence's blocks in a cache.
class sequence : public object {
   public:
    using object::object;

    static sequence create(const cache& cache) {
        sequence made;
        check(try_create(cache, made));
        return made;
    }
    static kvh_status try_create(const cache& cache, sequence& made) noexcept { return kvh_sequence_create(cache.get(), made.out()); }
    static sequence adopt(const cache& cache, span<const kvh_block_span> groups, int tokens) {
        sequence made;
        check(try_adopt(cache, groups, tokens, made));
        return made;
    }
    static kvh_status try_adopt(const cache& cache, span<const kvh_block_span> groups, int tokens, sequence& made) noexcept {
        return kvh_sequence_adopt(cache.get(), groups.data(), static_cast<std::int32_t>(groups.size()), tokens, made.out());
    }

    void reserve(int tokens) const { check(try_reserve(tokens)); }
    kvh_status try_reserve(int tokens) const noexcept { return kvh_sequence_reserve(get(), tokens); }
    void write(int layer, int start, int tokens, const float* keys, const float* values) const { check(try_write(layer, start, tokens, keys, values)); }
    kvh_status try_write(int layer, int start, int tokens, const float* keys, const float* values) const noexcept {
        return kvh_sequence_write(get(), layer, start, tokens, keys, values);
    }
    void advance(int tokens) const { check(try_advance(tokens)); }
    kvh_status try_advance(int tokens) const noexcept { return kvh_sequence_advance(get(), tokens); }
    kvh_sequence_info describe() const {
        kvh_sequence_info info = make<kvh_sequence_info>();
        check(try_describe(info));
        return info;
    }
    kvh_status try_describe(kvh_sequence_info& info) const noexcept { return kvh_sequence_describe(get(), &info); }
    std::vector<std::int32_t> blocks(int group = 0) const {
        std::vector<std::int32_t> blocks;
        check(try_blocks(group, blocks));
        return blocks;
    }
    kvh_status try_blocks(int group, std::vector<std::int32_t>& blocks) const {
        std::int32_t count = 0;
        kvh_status status = kvh_sequence_blocks(get(), group, nullptr, 0, &count);
        blocks.resize(status == KVH_E_BUFFER ? static_cast<std::size_t>(count) : 0);
        return status == KVH_E_BUFFER ? kvh_sequence_blocks(get(), group, blocks.data(), count, &count) : status;
    }
    void keep_blocks() const { check(try_keep_blocks()); }
    kvh_status try_keep_blocks() const noexcept { return kvh_sequence_keep_blocks(get()); }

    void attend(const kvh_attention& attention, const float* query, float* output, float* log_sum_exp) const { check(try_attend(attention, query, output, log_sum_exp)); }
    kvh_status try_attend(const kvh_attention& attention, const float* query, float* output, float* log_sum_exp) const noexcept {
        return kvh_attend(get(), &attention, query, output, log_sum_exp);
    }
    /// The largest deviation.
    float verify(const kvh_canary& canary, int precision) const {
        float largest = 0;
        check(try_verify(canary, precision, largest));
        return largest;
    }
    kvh_status try_verify(const kvh_canary& canary, int precision, float& largest) const noexcept { return kvh_canary_verify(get(), &canary, precision, &largest); }
};

/// Sequences that are attended to together.
class batch : public object {
   public:
    using object::object;

    static batch create(int threads) {
        batch made;
        check(try_create(threads, made));
        return made;
    }
    static kvh_status try_create(int threads, batch& made) noexcept { return kvh_batch_create(threads, made.out()); }

    void add(const sequence& member, int tokens = 0, int query_tokens = 1) const { check(try_add(member, tokens, query_tokens)); }
    kvh_status try_add(const sequence& member, int tokens = 0, int query_tokens = 1) const noexcept { return kvh_batch_add(get(), member.get(), tokens, query_tokens); }
    void clear() const { check(try_clear()); }
    kvh_status try_clear() const noexcept { return kvh_batch_clear(get()); }
    void attend(const kvh_attention& attention, const float* query, float* output, float* log_sum_exp) const { check(try_attend(attention, query, output, log_sum_exp)); }
    kvh_status try_attend(const kvh_attention& attention, const float* query, float* output, float* log_sum_exp) const noexcept {
        return kvh_batch_attend(get(), &attention, query, output, log_sum_exp);
    }
};

/// Keys that tickets are signed and checked with.
class keyring : public object {
   public:
    using object::object;

    static keyring create(std::uint32_t key_id, span<const std::uint8_t> key) {
        keyring made;
        check(try_create(key_id, key, made));
        return made;
    }
    static kvh_status try_create(std::uint32_t key_id, span<const std::uint8_t> key, keyring& made) noexcept { return kvh_keyring_create(key_id, key.data(), key.size(), made.out()); }

    void add(std::uint32_t key_id, span<const std::uint8_t> key) const { check(try_add(key_id, key)); }
    kvh_status try_add(std::uint32_t key_id, span<const std::uint8_t> key) const noexcept { return kvh_keyring_add(get(), key_id, key.data(), key.size()); }
    void sign_with(std::uint32_t key_id) const { check(try_sign_with(key_id)); }
    kvh_status try_sign_with(std::uint32_t key_id) const noexcept { return kvh_keyring_sign_with(get(), key_id); }
    void remove(std::uint32_t key_id) const { check(try_remove(key_id)); }
    kvh_status try_remove(std::uint32_t key_id) const noexcept { return kvh_keyring_remove(get(), key_id); }
    std::vector<std::uint8_t> issue(const kvh_claims& claims) const {
        std::vector<std::uint8_t> ticket;
        check(try_issue(claims, ticket));
        return ticket;
    }
    kvh_status try_issue(const kvh_claims& claims, std::vector<std::uint8_t>& ticket) const {
        ticket.resize(KVH_TICKET_MAX_BYTES);
        std::size_t bytes = 0;
        kvh_status status = kvh_ticket_issue(get(), &claims, ticket.data(), ticket.size(), &bytes);
        ticket.resize(status == KVH_OK ? bytes : 0);
        return status;
    }
};

/// Certificates and trust.
class tls : public object {
   public:
    using object::object;

    static tls create(const kvh_tls_options& options) {
        tls made;
        check(try_create(options, made));
        return made;
    }
    static kvh_status try_create(const kvh_tls_options& options, tls& made) noexcept { return kvh_tls_create(&options, made.out()); }
};

/// A handoff that is on its way out.
class outgoing : public source {
   public:
    using source::source;

    void publish(int layer, int start, int tokens) const { check(try_publish(layer, start, tokens)); }
    kvh_status try_publish(int layer, int start, int tokens) const noexcept { return kvh_outgoing_publish(get(), layer, start, tokens); }
    void write(int layer, int start, int tokens, const float* keys, const float* values) const { check(try_write(layer, start, tokens, keys, values)); }
    kvh_status try_write(int layer, int start, int tokens, const float* keys, const float* values) const noexcept {
        return kvh_outgoing_write(get(), layer, start, tokens, keys, values);
    }
    void commit(const kvh_manifest& manifest, const kvh_canary* canary = nullptr) const { check(try_commit(manifest, canary)); }
    kvh_status try_commit(const kvh_manifest& manifest, const kvh_canary* canary = nullptr) const noexcept { return kvh_outgoing_commit(get(), &manifest, canary); }
    void cancel() const { check(try_cancel()); }
    kvh_status try_cancel() const noexcept { return kvh_outgoing_cancel(get()); }
    kvh_outgoing_info describe() const {
        kvh_outgoing_info info = make<kvh_outgoing_info>();
        check(try_describe(info));
        return info;
    }
    kvh_status try_describe(kvh_outgoing_info& info) const noexcept { return kvh_outgoing_describe(get(), &info); }
    kvh_cost cost() const {
        kvh_cost cost = make<kvh_cost>();
        check(try_cost(cost));
        return cost;
    }
    kvh_status try_cost(kvh_cost& cost) const noexcept { return kvh_handoff_cost(get(), &cost); }

   private:
    friend class sender;
};

/// A connection to one receiver.
class sender : public source {
   public:
    using source::source;

    static sender connect(const std::string& endpoint, const cache& cache, const kvh_sender_options& options) {
        sender made;
        check(try_connect(endpoint, cache, options, made));
        return made;
    }
    static kvh_status try_connect(const std::string& endpoint, const cache& cache, const kvh_sender_options& options, sender& made) noexcept {
        return kvh_sender_connect(endpoint.c_str(), cache.get(), &options, made.out());
    }

    outgoing offer(const sequence& sequence, const kvh_offer& offer) const {
        outgoing made;
        check(try_offer(sequence, offer, made));
        return made;
    }
    kvh_status try_offer(const sequence& sequence, const kvh_offer& offer, outgoing& made) const noexcept { return kvh_sender_offer(get(), sequence.get(), &offer, made.out()); }
    outgoing offer_in_place(const kvh_offer& offer) const {
        outgoing made;
        check(try_offer_in_place(offer, made));
        return made;
    }
    kvh_status try_offer_in_place(const kvh_offer& offer, outgoing& made) const noexcept { return kvh_sender_offer_in_place(get(), &offer, made.out()); }
    int query(const kvh_uuid& id, milliseconds timeout = milliseconds(10000)) const {
        std::int32_t outcome = 0;
        check(try_query(id, timeout, outcome));
        return outcome;
    }
    kvh_status try_query(const kvh_uuid& id, milliseconds timeout, std::int32_t& outcome) const noexcept { return kvh_sender_query(get(), &id, timeout.count(), &outcome); }
    std::string path() const {
        return detail::text([this](char* buffer, std::size_t capacity, std::size_t* needed) { return kvh_sender_path(get(), buffer, capacity, needed); });
    }
};

/// What came with a committed handoff; valid as long as its incoming object.
struct manifest_view {
    int position;
    int first_token;
    span<const std::int32_t> token_ids;
    span<const std::uint8_t> sampler_state;
    span<const std::uint8_t> host_metadata;
};

/// A handoff that is landing.
class incoming : public source {
   public:
    using source::source;

    kvh_incoming_info describe() const {
        kvh_incoming_info info = make<kvh_incoming_info>();
        check(try_describe(info));
        return info;
    }
    kvh_status try_describe(kvh_incoming_info& info) const noexcept { return kvh_incoming_describe(get(), &info); }
    std::string request_id() const {
        return detail::text([this](char* buffer, std::size_t capacity, std::size_t* needed) { return kvh_incoming_request_id(get(), buffer, capacity, needed); });
    }
    bool wait_layer(int layer, milliseconds timeout = forever) const { return check(try_wait_layer(layer, timeout)) == KVH_OK; }
    kvh_status try_wait_layer(int layer, milliseconds timeout = forever) const noexcept { return kvh_incoming_wait_layer(get(), layer, timeout.count()); }
    sequence target() const {
        sequence made;
        check(try_target(made));
        return made;
    }
    kvh_status try_target(sequence& made) const noexcept {
        kvh_sequence handle = 0;
        kvh_status status = kvh_incoming_target(get(), &handle);
        made = sequence(handle);
        return status;
    }
    sequence take() const {
        sequence made;
        check(try_take(made));
        return made;
    }
    kvh_status try_take(sequence& made) const noexcept {
        kvh_sequence handle = 0;
        kvh_status status = kvh_incoming_take(get(), &handle);
        made = sequence(handle);
        return status;
    }
    manifest_view manifest() const {
        manifest_view view{};
        check(try_manifest(view));
        return view;
    }
    kvh_status try_manifest(manifest_view& view) const noexcept {
        kvh_manifest m = make<kvh_manifest>();
        kvh_status status = kvh_incoming_manifest(get(), &m);
        view = {m.position, m.first_token, {m.token_ids, static_cast<std::size_t>(m.token_count)},
                {static_cast<const std::uint8_t*>(m.sampler_state), m.sampler_state_bytes},
                {static_cast<const std::uint8_t*>(m.host_metadata), m.host_metadata_bytes}};
        return status;
    }
    void cancel() const { check(try_cancel()); }
    kvh_status try_cancel() const noexcept { return kvh_incoming_cancel(get()); }
    void first_attend(std::chrono::nanoseconds elapsed) const { check(try_first_attend(elapsed)); }
    kvh_status try_first_attend(std::chrono::nanoseconds elapsed) const noexcept { return kvh_incoming_first_attend(get(), elapsed.count()); }
    kvh_cost cost() const {
        kvh_cost cost = make<kvh_cost>();
        check(try_cost(cost));
        return cost;
    }
    kvh_status try_cost(kvh_cost& cost) const noexcept { return kvh_handoff_cost(get(), &cost); }

   private:
    friend class receiver;
};

/// Takes handoffs into a cache.
class receiver : public source {
   public:
    using source::source;

    static receiver listen(const std::string& endpoint, const cache& cache, const kvh_receiver_options& options) {
        receiver made;
        check(try_listen(endpoint, cache, options, made));
        return made;
    }
    static kvh_status try_listen(const std::string& endpoint, const cache& cache, const kvh_receiver_options& options, receiver& made) noexcept {
        return kvh_receiver_listen(endpoint.c_str(), cache.get(), &options, made.out());
    }

    std::string endpoint() const {
        return detail::text([this](char* buffer, std::size_t capacity, std::size_t* needed) { return kvh_receiver_endpoint(get(), buffer, capacity, needed); });
    }
    /// An empty object when the time was over or the receiver is closed.
    incoming next(milliseconds timeout = forever) const {
        incoming made;
        check(try_next(timeout, made));
        return made;
    }
    kvh_status try_next(milliseconds timeout, incoming& made) const noexcept { return kvh_receiver_next(get(), timeout.count(), made.out()); }
    kvh_receiver_info describe() const {
        kvh_receiver_info info = make<kvh_receiver_info>();
        check(try_describe(info));
        return info;
    }
    kvh_status try_describe(kvh_receiver_info& info) const noexcept { return kvh_receiver_describe(get(), &info); }
};

}  // namespace kvh

#endif
