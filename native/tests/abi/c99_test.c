/* Compiled as strict C99: the header needs nothing else. Compares every struct with what the library has, and makes one call of each kind. */
#include "kvhandoff/kvhandoff.h"

#include <stdio.h>

/* One line per struct of the header, and every field of it. */
#define STRUCTS(S, F) \
    S(kvh_model) F(kvh_model, struct_size) F(kvh_model, reserved) F(kvh_model, name) F(kvh_model, revision) \
        F(kvh_model, rope_scaling) F(kvh_model, rope_theta) \
    S(kvh_group) F(kvh_group, struct_size) F(kvh_group, kind) F(kvh_group, layers) F(kvh_group, layer_count) F(kvh_group, kv_heads) \
        F(kvh_group, head_dim) F(kvh_group, block_tokens) F(kvh_group, window_tokens) F(kvh_group, element) F(kvh_group, key_scales) \
        F(kvh_group, value_scales) F(kvh_group, scale_type) F(kvh_group, order) \
    S(kvh_preset) F(kvh_preset, struct_size) F(kvh_preset, engine) F(kvh_preset, layers) F(kvh_preset, kv_heads) \
        F(kvh_preset, head_dim) F(kvh_preset, element) F(kvh_preset, block_tokens) F(kvh_preset, head_major) \
    S(kvh_layout_info) F(kvh_layout_info, struct_size) F(kvh_layout_info, groups) F(kvh_layout_info, layers) \
        F(kvh_layout_info, reserved) F(kvh_layout_info, bytes_per_token) \
    S(kvh_geometry) F(kvh_geometry, struct_size) F(kvh_geometry, layers) F(kvh_geometry, kv_heads) F(kvh_geometry, head_dim) \
        F(kvh_geometry, block_tokens) F(kvh_geometry, planes) F(kvh_geometry, block_bytes) F(kvh_geometry, plane_bytes) \
        F(kvh_geometry, row_bytes) F(kvh_geometry, key_offset) F(kvh_geometry, key_head_stride) F(kvh_geometry, key_token_stride) \
        F(kvh_geometry, value_offset) F(kvh_geometry, value_head_stride) F(kvh_geometry, value_token_stride) \
    S(kvh_link) F(kvh_link, struct_size) F(kvh_link, codec) F(kvh_link, latency_seconds) F(kvh_link, bytes_per_second) \
        F(kvh_link, messages_per_second) F(kvh_link, prefill_tokens_per_second) \
    S(kvh_estimate) F(kvh_estimate, struct_size) F(kvh_estimate, transfer_pays) F(kvh_estimate, kv_bytes) \
        F(kvh_estimate, wire_bytes) F(kvh_estimate, max_wire_bytes) F(kvh_estimate, frames) F(kvh_estimate, expected_ms) \
        F(kvh_estimate, pessimistic_ms) F(kvh_estimate, recompute_ms) F(kvh_estimate, exposed_ms) \
    S(kvh_cache_options) F(kvh_cache_options, struct_size) F(kvh_cache_options, flags) F(kvh_cache_options, tokens) \
        F(kvh_cache_options, sequences) F(kvh_cache_options, reserved) F(kvh_cache_options, released) \
        F(kvh_cache_options, released_user) \
    S(kvh_group_memory) F(kvh_group_memory, struct_size) F(kvh_group_memory, blocks) F(kvh_group_memory, base) \
        F(kvh_group_memory, length_bytes) F(kvh_group_memory, offset_bytes) F(kvh_group_memory, layer_stride_bytes) \
        F(kvh_group_memory, block_stride_bytes) F(kvh_group_memory, values_offset_bytes) F(kvh_group_memory, layer_bases) \
        F(kvh_group_memory, value_bases) F(kvh_group_memory, base_count) F(kvh_group_memory, reserved) \
    S(kvh_cache_info) F(kvh_cache_info, struct_size) F(kvh_cache_info, reserved) F(kvh_cache_info, free_tokens) \
        F(kvh_cache_info, used_blocks) \
    S(kvh_block_span) F(kvh_block_span, blocks) F(kvh_block_span, count) \
    S(kvh_sequence_info) F(kvh_sequence_info, struct_size) F(kvh_sequence_info, tokens) F(kvh_sequence_info, capacity) \
        F(kvh_sequence_info, reserved) \
    S(kvh_segment) F(kvh_segment, struct_size) F(kvh_segment, codec) F(kvh_segment, tokens) F(kvh_segment, head_dim) \
        F(kvh_segment, element) F(kvh_segment, plane) \
    S(kvh_rows) F(kvh_rows, struct_size) F(kvh_rows, element) F(kvh_rows, stride_bytes) F(kvh_rows, rows) F(kvh_rows, row_length) \
        F(kvh_rows, code) F(kvh_rows, scale_type) \
    S(kvh_attention) F(kvh_attention, struct_size) F(kvh_attention, flags) F(kvh_attention, layer) F(kvh_attention, tokens) \
        F(kvh_attention, query_heads) F(kvh_attention, query_tokens) F(kvh_attention, latent_dim) F(kvh_attention, window_tokens) \
        F(kvh_attention, start_token) F(kvh_attention, end_token) F(kvh_attention, query_position) F(kvh_attention, weights) \
        F(kvh_attention, softmax_scale) F(kvh_attention, logit_cap) F(kvh_attention, sinks) \
    S(kvh_canary_pair) F(kvh_canary_pair, struct_size) F(kvh_canary_pair, layer) F(kvh_canary_pair, head) \
        F(kvh_canary_pair, has_sink) F(kvh_canary_pair, query) F(kvh_canary_pair, output) F(kvh_canary_pair, sink) \
        F(kvh_canary_pair, reserved) \
    S(kvh_canary) F(kvh_canary, struct_size) F(kvh_canary, seeded) F(kvh_canary, pairs) F(kvh_canary, pair_count) \
        F(kvh_canary, query_heads) F(kvh_canary, tokens) F(kvh_canary, latent_dim) F(kvh_canary, softmax_scale) \
        F(kvh_canary, logit_cap) \
    S(kvh_error_info) F(kvh_error_info, struct_size) F(kvh_error_info, status) F(kvh_error_info, reject_reason) \
        F(kvh_error_info, reserved) F(kvh_error_info, bytes_needed) F(kvh_error_info, bytes_free) F(kvh_error_info, retry_after_ms) \
    S(kvh_uuid) F(kvh_uuid, bytes) \
    S(kvh_claims) F(kvh_claims, struct_size) F(kvh_claims, reserved) F(kvh_claims, audience) F(kvh_claims, sender) \
        F(kvh_claims, handoff_id) F(kvh_claims, max_kv_bytes) F(kvh_claims, not_before_unix_ms) F(kvh_claims, lifetime_ms) \
    S(kvh_tls_options) F(kvh_tls_options, struct_size) F(kvh_tls_options, allow_any_client) F(kvh_tls_options, certificate_file) \
        F(kvh_tls_options, key_file) F(kvh_tls_options, roots_file) F(kvh_tls_options, pinned_sha256) \
        F(kvh_tls_options, expected_host) \
    S(kvh_transport) F(kvh_transport, struct_size) F(kvh_transport, flags) F(kvh_transport, tls) F(kvh_transport, send_buffer_bytes) \
        F(kvh_transport, receive_buffer_bytes) F(kvh_transport, connect_timeout_ms) F(kvh_transport, allowed_user_ids) \
        F(kvh_transport, allowed_user_id_count) F(kvh_transport, reserved) \
    S(kvh_sender_options) F(kvh_sender_options, struct_size) F(kvh_sender_options, streams) F(kvh_sender_options, codec) \
        F(kvh_sender_options, reserved) F(kvh_sender_options, handshake_timeout_ms) F(kvh_sender_options, resume_within_ms) \
        F(kvh_sender_options, name) F(kvh_sender_options, transport) \
    S(kvh_offer) F(kvh_offer, struct_size) F(kvh_offer, total_tokens) F(kvh_offer, handoff_id) F(kvh_offer, codec) \
        F(kvh_offer, priority) F(kvh_offer, intent) F(kvh_offer, ticket_bytes) F(kvh_offer, ticket) F(kvh_offer, deadline_ms) \
        F(kvh_offer, wait_for_room_ms) F(kvh_offer, request_id) \
    S(kvh_outgoing_info) F(kvh_outgoing_info, struct_size) F(kvh_outgoing_info, state) F(kvh_outgoing_info, handoff_id) \
        F(kvh_outgoing_info, total_tokens) F(kvh_outgoing_info, reused_tokens) \
    S(kvh_manifest) F(kvh_manifest, struct_size) F(kvh_manifest, position) F(kvh_manifest, first_token) F(kvh_manifest, token_count) \
        F(kvh_manifest, token_ids) F(kvh_manifest, sampler_state) F(kvh_manifest, host_metadata) \
        F(kvh_manifest, sampler_state_bytes) F(kvh_manifest, host_metadata_bytes) \
    S(kvh_cost) F(kvh_cost, struct_size) F(kvh_cost, reserved) F(kvh_cost, kv_bytes) F(kvh_cost, wire_bytes) \
        F(kvh_cost, bytes_copied) F(kvh_cost, elapsed_ns) F(kvh_cost, phase_ns) \
    S(kvh_admission_request) F(kvh_admission_request, struct_size) F(kvh_admission_request, total_tokens) \
        F(kvh_admission_request, handoff_id) F(kvh_admission_request, request_id) F(kvh_admission_request, sender_name) \
        F(kvh_admission_request, kv_bytes) F(kvh_admission_request, bytes_free) F(kvh_admission_request, deadline_ms) \
        F(kvh_admission_request, granted_bytes) F(kvh_admission_request, open_handoffs) F(kvh_admission_request, waiting_offers) \
        F(kvh_admission_request, priority) F(kvh_admission_request, intent) \
    S(kvh_receiver_options) F(kvh_receiver_options, struct_size) F(kvh_receiver_options, flags) F(kvh_receiver_options, max_streams) \
        F(kvh_receiver_options, clock_skew_ms) F(kvh_receiver_options, lease_ms) F(kvh_receiver_options, handshake_timeout_ms) \
        F(kvh_receiver_options, name) F(kvh_receiver_options, transport) F(kvh_receiver_options, tickets) \
        F(kvh_receiver_options, admission) F(kvh_receiver_options, admission_user) \
    S(kvh_receiver_info) F(kvh_receiver_info, struct_size) F(kvh_receiver_info, open_handoffs) F(kvh_receiver_info, waiting_offers) \
        F(kvh_receiver_info, quarantined_handoffs) F(kvh_receiver_info, fenced_frames) F(kvh_receiver_info, data_bytes) \
    S(kvh_incoming_info) F(kvh_incoming_info, struct_size) F(kvh_incoming_info, state) F(kvh_incoming_info, handoff_id) \
        F(kvh_incoming_info, total_tokens) F(kvh_incoming_info, reused_tokens) F(kvh_incoming_info, layers) \
        F(kvh_incoming_info, layers_landed) F(kvh_incoming_info, priority) F(kvh_incoming_info, intent)

static int failures;
static uint32_t compared;

static void compare(const char* name, size_t offset, size_t size) {
    uint32_t theirs = 0, bytes = 0;
    compared++;
    if (kvh_struct_layout(name, &theirs, &bytes) == KVH_OK && theirs == offset && bytes == size) return;
    printf("%s: offset %u and size %u in the library; %u and %u here\n", name, theirs, bytes, (unsigned)offset, (unsigned)size);
    failures++;
}

static void expect(int good, const char* what) {
    if (good) return;
    printf("failed: %s\n", what);
    failures++;
}

#define COMPARE_STRUCT(s) compare(#s, 0, sizeof(s));
#define COMPARE_FIELD(s, f) compare(#s "." #f, offsetof(s, f), sizeof(((s*)0)->f));

int main(void) {
    uint32_t entries = 0, crc = 0;
    size_t needed = 0;
    char text[256];
    kvh_model model;
    kvh_group group;
    kvh_layout layout = 0;
    kvh_cache_options options;
    kvh_cache cache = 0;
    kvh_sequence sequence = 0;

    expect(kvh_abi_version() == KVH_ABI_VERSION, "version");
    expect(kvh_version(text, sizeof text, &needed) == KVH_OK && needed == strlen(text) + 1, "version text");
    printf("%s\n", text);
    STRUCTS(COMPARE_STRUCT, COMPARE_FIELD)
    expect(kvh_struct_layout(NULL, NULL, &entries) == KVH_OK && entries == compared, "as many structs and fields here as there");
    expect(kvh_struct_layout("kvh_offer.colour", NULL, &entries) == KVH_E_ARGUMENT, "a field that is not there");

    expect(kvh_crc32c("123456789", 9, &crc) == KVH_OK && crc == 0xE3069283u, "CRC-32C of the standard's digits");
    expect(strcmp(kvh_status_name(KVH_E_STRUCT_SIZE), "KVH_E_STRUCT_SIZE") == 0 && strcmp(kvh_status_name(12345), "unknown") == 0, "names");

    KVH_INIT(model);
    model.name = "tiny";
    model.revision = "1";
    KVH_INIT(group);
    group.layer_count = 2;
    group.kv_heads = 1;
    group.head_dim = 16;
    KVH_INIT(options);
    options.tokens = 128;
    expect(kvh_layout_create(&model, &group, 1, &layout) == KVH_OK, "layout");
    expect(kvh_cache_create(layout, &options, &cache) == KVH_OK, "cache");
    expect(kvh_close(layout) == KVH_OK, "a layout is not needed any more");
    expect(kvh_sequence_create(cache, &sequence) == KVH_OK && kvh_sequence_reserve(sequence, 128) == KVH_OK, "sequence");
    expect(kvh_sequence_reserve(sequence, 129) == KVH_E_NO_SPACE, "more than there is");
    expect(kvh_last_error(sequence, text, sizeof text, NULL) == KVH_OK && strstr(text, "129") != NULL, "the text has the number");
    expect(kvh_close(cache) == KVH_E_IN_USE, "a cache with a sequence");
    expect(kvh_close(sequence) == KVH_OK && kvh_close(cache) == KVH_OK, "close");
    expect(kvh_close(cache) == KVH_E_HANDLE, "close twice");
    expect(kvh_open_handles() == 0, "nothing left");

    printf("%u structs and fields compared, %d failures\n", compared, failures);
    return failures != 0;
}
