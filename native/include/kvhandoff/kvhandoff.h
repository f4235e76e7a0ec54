/* KvHandoff: hands KV caches of language models between processes. The C interface, C99.
 *
 * RULES, for every function unless its comment says otherwise:
 *
 * Status     Every function that can fail returns a kvh_status: 0 good, positive "not yet", negative failed. The groups of failures say what
 *            has to be rebuilt: the call, the handoff, the connection, or nothing will help with this peer. kvh_last_error has the text.
 * Border     No exception, abort or exit crosses it. A null pointer, a stale or foreign handle, a short struct, an unknown number, a call in
 *            the wrong order: a status, and nothing has changed. Lengths of buffers cannot be checked: they are the host's word.
 * Handles    64-bit numbers with a kind and a generation: a closed one fits nothing that comes after it. 0 is no handle. kvh_close closes any of
 *            them, once. An object that another depends on (a cache with sequences) answers KVH_E_IN_USE; layouts are copied and may be closed.
 * Structs    struct_size comes first and is set by the host (KVH_INIT). Zeros mean the default, everywhere. Reserved fields are zero. An older
 *            library accepts a longer struct whose unknown rest is zero.
 * Arrays     of structs lie at the distance that struct_size of the first element says.
 * Strings    are UTF-8, terminated, and copied before the call returns; null counts as empty. Texts are returned into a buffer of the host, cut to
 *            its size and terminated; *needed gets the bytes of the whole, terminator included, and KVH_E_BUFFER says that it was cut.
 * Memory     that the host gives to kvh_cache_wrap stays the host's and must stay mapped until kvh_close of the cache has returned 0 (or the
 *            released callback ran). Everything else that is passed in is not used after the call returns.
 * Threads    Any thread, at any time, also threads that the library has never seen. One sequence and one batch are used by one thread at a
 *            time. kvh_close of a handle waits for calls on it that other threads are in, having ended their waits.
 * Callbacks  come on threads of the library, one at a time per handle, and must return soon. A callback may call anything but functions that wait
 *            (kvh_wait, kvh_shutdown, kvh_close of a sender, receiver or handoff, kvh_receiver_next with a timeout): these answer KVH_E_CALLBACK.
 *            None comes after kvh_close of its handle has returned.
 * Waiting    What takes time is started by one call and watched in any of three ways: kvh_poll, kvh_wait; a callback (kvh_on_event); an
 *            eventfd of the host's own event loop (kvh_set_eventfd).
 * Fork       The library does not survive fork() without exec(): calls in the child answer KVH_E_FORKED.
 * Unload     It cannot be unloaded; dlclose() leaves it in place. kvh_shutdown ends its threads' work.
 * Signals    The runtime inside uses SIGRTMIN for itself, takes SIGSEGV and SIGFPE that arise in its own code and passes on all others, and SIGPIPE is
 *            ignored from the first call on.
 */
#ifndef KVHANDOFF_H
#define KVHANDOFF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVH_ABI_VERSION 1

#if defined(__GNUC__)
#define KVH_API __attribute__((visibility("default")))
#else
#define KVH_API
#endif

/* Clears a struct and sets its size: kvh_offer offer; KVH_INIT(offer); */
#define KVH_INIT(s) (memset(&(s), 0, sizeof(s)), (s).struct_size = (uint32_t)sizeof(s))

/* ---- Status ---------------------------------------------------------------------------------------------------------------------- */

typedef int32_t kvh_status;

enum {
    KVH_OK = 0,
    KVH_PENDING = 1, /* it has not happened yet */
    KVH_TIMEOUT = 2, /* the time given to a wait is over; what was waited for goes on */
    KVH_END = 3,     /* nothing more will come */

    /* The call: mend it and go on. */
    KVH_E_ARGUMENT = -1,     /* a number out of range; the text has it, and what is allowed */
    KVH_E_NULL = -2,         /* a pointer that must not be null */
    KVH_E_HANDLE = -3,       /* never a handle, closed, or of another kind */
    KVH_E_STRUCT_SIZE = -4,  /* struct_size is short, or the rest is not zero */
    KVH_E_ENUM = -5,         /* no such constant */
    KVH_E_STATE = -6,        /* not in this order */
    KVH_E_BUFFER = -7,       /* the buffer is too small */
    KVH_E_IN_USE = -8,       /* others depend on it: close them first */
    KVH_E_CALLBACK = -9,     /* not from a callback */
    KVH_E_NO_SPACE = -10,    /* too few free blocks in this cache */
    KVH_E_NO_MEMORY = -11,   /* the system refuses memory */
    KVH_E_UNSUPPORTED = -12, /* not on this machine, or not for this layout */
    KVH_E_LAYOUT = -13,      /* a layout that no cache can have; the text names the field */
    KVH_E_SHUT_DOWN = -14,   /* after kvh_shutdown */
    KVH_E_FORKED = -15,      /* in a child of fork() */
    KVH_E_INTERNAL = -16,    /* a defect of the library */

    /* The handoff is over; sender and receiver are as good as before. */
    KVH_E_REJECTED = -100,     /* declined; kvh_last_error_info says why and when to try again */
    KVH_E_ABORTED = -101,      /* given up by a side, or cancelled */
    KVH_E_EXPIRED = -102,      /* deadline or lease; on the sender the outcome is unknown: kvh_sender_query */
    KVH_E_CORRUPT = -103,      /* a checksum or the canary; nothing was published */
    KVH_E_STALE_EPOCH = -104,  /* it belongs to an earlier life of the receiver */

    /* The connection is over; the sender's next offer connects again. */
    KVH_E_PEER_GONE = -200,
    KVH_E_TRANSPORT = -201, /* no connection could be made, or the address cannot be listened on */

    /* This peer will never do. */
    KVH_E_MISMATCH = -300, /* the caches cannot be matched; the text names the field and both values */
    KVH_E_PROTOCOL = -301  /* it speaks another protocol or version */
};

/* Name of a status, such as "KVH_E_HANDLE"; static. */
KVH_API const char* kvh_status_name(kvh_status status);

typedef uint64_t kvh_handle;
typedef kvh_handle kvh_layout, kvh_plan, kvh_cache, kvh_sequence, kvh_batch, kvh_sender, kvh_outgoing, kvh_receiver, kvh_incoming, kvh_keyring, kvh_tls;

/* Text of the last failure of a handle, or with 0 of the calling thread, whatever handle it was. Empty when there was none. */
KVH_API kvh_status kvh_last_error(kvh_handle handle, char* buffer, size_t capacity, size_t* needed);

enum { /* kvh_error_info.reject_reason */
    KVH_REJECT_NONE = 0,
    KVH_REJECT_NO_SPACE = 1,
    KVH_REJECT_LAYOUT = 2,
    KVH_REJECT_BUSY = 3,
    KVH_REJECT_SHUTTING_DOWN = 4,
    KVH_REJECT_BAD_OFFER = 5,
    KVH_REJECT_DUPLICATE = 6,
    KVH_REJECT_UNAUTHORIZED = 7
};

typedef struct kvh_error_info {
    uint32_t struct_size;
    kvh_status status;
    int32_t reject_reason;
    int32_t reserved;
    int64_t bytes_needed;   /* rejected for space: what the sequence takes at the receiver, and what is free there */
    int64_t bytes_free;
    int64_t retry_after_ms; /* 0: never */
} kvh_error_info;

KVH_API kvh_status kvh_last_error_info(kvh_handle handle, kvh_error_info* info);

/* ---- The library ------------------------------------------------------------------------------------------------------------------- */

/* KVH_ABI_VERSION of the library. A host that was compiled with another one must not go on. */
KVH_API int32_t kvh_abi_version(void);
/* Version, instruction set and kernels in use, such as "0.1.0, avx2, native avx2". */
KVH_API kvh_status kvh_version(char* buffer, size_t capacity, size_t* needed);

enum { KVH_LOG_OFF = 0, KVH_LOG_ERROR = 1, KVH_LOG_WARNING = 2, KVH_LOG_INFO = 3, KVH_LOG_DEBUG = 4 };

/* The text is valid during the call only. */
typedef void (*kvh_log_fn)(void* user, int32_t level, kvh_handle handle, const char* text);
/* One for the process; null takes it away, and none runs any more when this has returned. */
KVH_API kvh_status kvh_set_log_callback(int32_t level, kvh_log_fn callback, void* user);

/* Closes a handle of any kind: gives a sequence's blocks back, aborts a handoff that is open, and returns when its memory is reusable. */
KVH_API kvh_status kvh_close(kvh_handle handle);
/* Handles that are open: a host's test for leaks. */
KVH_API int64_t kvh_open_handles(void);
/* Ends handoffs, receivers and senders and closes everything. Later calls answer KVH_E_SHUT_DOWN. A second call does nothing. */
KVH_API kvh_status kvh_shutdown(void);

/* Offset and size of "struct.field", or size of "struct", as the library has them; with a null name the number of names in *size. For tests. */
KVH_API kvh_status kvh_struct_layout(const char* name, uint32_t* offset, uint32_t* size);

/* ---- Events ------------------------------------------------------------------------------------------------------------------------ */

enum {
    KVH_EVENT_GRANTED = 1,   /* outgoing: the receiver has reserved blocks */
    KVH_EVENT_COMMITTED = 2, /* outgoing, incoming: published */
    KVH_EVENT_FAILED = 4,    /* outgoing, incoming: over without a commit; blocks are reusable */
    KVH_EVENT_LAYER = 8,     /* incoming: one more layer has landed and is verified */
    KVH_EVENT_LANDED = 16,   /* incoming: all layers have */
    KVH_EVENT_INCOMING = 32, /* receiver: kvh_receiver_next has a handoff */
    KVH_EVENT_ENDED = KVH_EVENT_COMMITTED | KVH_EVENT_FAILED
};

/* Events so far. Good for senders, receivers, outgoing and incoming handoffs. */
KVH_API kvh_status kvh_poll(kvh_handle handle, uint32_t* events);
/* Waits for one of the events of a mask: KVH_OK when one has happened, KVH_TIMEOUT, or the failure of a handoff that failed instead.
 * timeout_ms: below 0 for ever. *events (may be null) gets all so far. */
KVH_API kvh_status kvh_wait(kvh_handle handle, uint32_t mask, int64_t timeout_ms, uint32_t* events);

typedef void (*kvh_event_fn)(void* user, kvh_handle handle, uint32_t new_events);
/* Calls back for events of the mask, at once (on another thread) for those that have happened. A null callback takes it away. */
KVH_API kvh_status kvh_on_event(kvh_handle handle, uint32_t mask, kvh_event_fn callback, void* user);
/* Adds 1 to an eventfd of the host for every event of the mask, at once for those that have happened. The library keeps a duplicate, so the
 * host may close its own; one eventfd may serve many handles. Below 0 takes it away. */
KVH_API kvh_status kvh_set_eventfd(kvh_handle handle, uint32_t mask, int32_t fd);

/* ---- Layout ------------------------------------------------------------------------------------------------------------------------ */

enum { KVH_ATTENTION_FULL = 1, KVH_ATTENTION_SLIDING_WINDOW = 2, KVH_ATTENTION_LATENT = 3 };
enum { KVH_FP32 = 1, KVH_FP16 = 2, KVH_BF16 = 3, KVH_FP8_E4M3 = 4, KVH_FP8_E5M2 = 5, KVH_INT8 = 6 };
enum { KVH_SCALES_NONE = 0, KVH_SCALES_TENSOR = 1, KVH_SCALES_HEAD = 2, KVH_SCALES_TOKEN_HEAD = 3, KVH_SCALES_CHANNEL_TILE = 4, KVH_SCALES_GROUP_32 = 5 };
enum { KVH_SCALE_FP32 = 1, KVH_SCALE_BF16 = 2, KVH_SCALE_E8M0 = 3 };
enum {                               /* inside a block: */
    KVH_ORDER_HEAD_MAJOR = 1,        /* [kv head][K tokens x dim, V tokens x dim]; the default */
    KVH_ORDER_TOKEN_MAJOR = 2,       /* [K, V][token][kv head][dim] */
    KVH_ORDER_PLANE_HEAD_MAJOR = 3,  /* [K, V][kv head][token][dim] */
    KVH_ORDER_PACKED_KEY = 4,        /* K [kv head][dim / x][token][x], V [kv head][dim][token] */
    KVH_ORDER_TRANSPOSED_KEY = 5     /* K [kv head][dim][token], V [kv head][token][dim] */
};
enum { KVH_KEY = 0, KVH_VALUE = 1 };

/* What two caches must agree in. */
typedef struct kvh_model {
    uint32_t struct_size;
    uint32_t reserved;
    const char* name;         /* 1 to 200 characters */
    const char* revision;     /* hash of the weights, as the host defines it */
    const char* rope_scaling; /* empty: none */
    double rope_theta;        /* 0: keys are stored unrotated */
} kvh_model;

/* Layers that store their past alike. */
typedef struct kvh_group {
    uint32_t struct_size;
    int32_t kind;            /* default full */
    const int32_t* layers;   /* ascending; null: 0 .. layer_count - 1 */
    int32_t layer_count;
    int32_t kv_heads;        /* 1 for a latent */
    int32_t head_dim;        /* of a latent: with its rotated part */
    int32_t block_tokens;    /* default 64 */
    int32_t window_tokens;   /* sliding window only */
    int32_t element;         /* default bf16 */
    int32_t key_scales;
    int32_t value_scales;
    int32_t scale_type;      /* default fp32 */
    int32_t order;           /* default head-major */
} kvh_group;

KVH_API kvh_status kvh_layout_create(const kvh_model* model, const kvh_group* groups, int32_t group_count, kvh_layout* layout);

enum {
    KVH_PRESET_VLLM_FLASH_ATTENTION = 1,
    KVH_PRESET_VLLM_FLASHINFER = 2,
    KVH_PRESET_VLLM_PAGED_ATTENTION = 3,
    KVH_PRESET_VLLM_LATENT = 4,
    KVH_PRESET_SGLANG_TOKEN_POOL = 5,
    KVH_PRESET_SGLANG_LATENT = 6,
    KVH_PRESET_TENSORRT_LLM = 7
};

/* An engine's own layout, from what the model and its parallelism fix. */
typedef struct kvh_preset {
    uint32_t struct_size;
    int32_t engine;       /* KVH_PRESET_... */
    int32_t layers;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t element;      /* default bf16 */
    int32_t block_tokens; /* default: the engine's */
    int32_t head_major;   /* vLLM's layout HND */
} kvh_preset;

KVH_API kvh_status kvh_layout_preset(const kvh_model* model, const kvh_preset* preset, kvh_layout* layout);
KVH_API kvh_status kvh_layout_text(kvh_layout layout, char* buffer, size_t capacity, size_t* needed);

typedef struct kvh_layout_info {
    uint32_t struct_size;
    int32_t groups;
    int32_t layers;
    int32_t reserved;
    int64_t bytes_per_token; /* over all layers */
} kvh_layout_info;

KVH_API kvh_status kvh_layout_describe(kvh_layout layout, kvh_layout_info* info);
KVH_API kvh_status kvh_layout_bytes(kvh_layout layout, int64_t tokens, int64_t* bytes);

typedef struct kvh_geometry {
    uint32_t struct_size;
    int32_t layers; /* of the group */
    int32_t kv_heads;
    int32_t head_dim;
    int32_t block_tokens;
    int32_t planes; /* 2, 1 for a latent */
    int64_t block_bytes;
    int64_t plane_bytes; /* of K or V of a block, where an engine keeps them apart */
    int64_t row_bytes;   /* one token of one head of K or V */
    int64_t key_offset, key_head_stride, key_token_stride; /* row of (head, token): offset + head * head_stride + token * token_stride */
    int64_t value_offset, value_head_stride, value_token_stride;
} kvh_geometry;

KVH_API kvh_status kvh_layout_geometry(kvh_layout layout, int32_t group, kvh_geometry* geometry);

/* ---- Plan -------------------------------------------------------------------------------------------------------------------------- */

enum { KVH_STEP_PERMUTE = 1, KVH_STEP_REBLOCK = 2, KVH_STEP_TRANSCODE = 4, KVH_STEP_LOSSY = 8, KVH_STEP_RESLICE = 16 };

/* How a cache of one layout becomes one of another: KVH_E_MISMATCH and the reason, or a plan. Pure; no peer is asked. */
KVH_API kvh_status kvh_plan_create(kvh_layout source, kvh_layout target, kvh_plan* plan);
KVH_API kvh_status kvh_plan_steps(kvh_plan plan, uint32_t* steps);
KVH_API kvh_status kvh_plan_text(kvh_plan plan, char* buffer, size_t capacity, size_t* needed);

typedef struct kvh_link {
    uint32_t struct_size;
    int32_t codec; /* KVH_CODEC_... */
    double latency_seconds;
    double bytes_per_second;
    double messages_per_second;       /* 0: no bound */
    double prefill_tokens_per_second; /* 0: no advice on recomputing */
} kvh_link;

typedef struct kvh_estimate {
    uint32_t struct_size;
    int32_t transfer_pays; /* 1 yes, 0 no, -1 without a prefill rate */
    int64_t kv_bytes, wire_bytes, max_wire_bytes, frames;
    double expected_ms, pessimistic_ms;
    double recompute_ms, exposed_ms; /* 0 without a prefill rate */
} kvh_estimate;

KVH_API kvh_status kvh_plan_estimate(kvh_plan plan, int32_t tokens, const kvh_link* link, kvh_estimate* estimate);

/* ---- Cache and memory ---------------------------------------------------------------------------------------------------------------- */

enum {
    KVH_CACHE_SHARED = 1,     /* own memory that senders on this host may map and write into (memfd) */
    KVH_CACHE_HOST_BLOCKS = 2 /* wrapped memory whose blocks are the host's until it gives them (kvh_cache_give_blocks) */
};

typedef void (*kvh_released_fn)(void* user);

typedef struct kvh_cache_options {
    uint32_t struct_size;
    uint32_t flags;
    int64_t tokens;    /* room, rounded up to blocks; not for wrapped memory */
    int32_t sequences; /* sequences that can be unfinished at once in a cache with stored scales; default by size */
    int32_t reserved;
    kvh_released_fn released; /* wrapped memory: the library does not touch it any more */
    void* released_user;
} kvh_cache_options;

/* A cache in memory of the library. */
KVH_API kvh_status kvh_cache_create(kvh_layout layout, const kvh_cache_options* options, kvh_cache* cache);

/* Memory of the host: pageable, pinned or mapped to a device, as the host likes; the library reads and writes it with the CPU. Block b of
 * layer i of the group starts at base + offset_bytes + i * layer_stride_bytes + b * block_stride_bytes, or, where every layer is a tensor
 * of its own, at layer_bases[i] + offset_bytes + b * block_stride_bytes. */
typedef struct kvh_group_memory {
    uint32_t struct_size;
    int32_t blocks;
    void* base;           /* null when layer_bases are given */
    int64_t length_bytes; /* from base, or from each of layer_bases and value_bases */
    int64_t offset_bytes;
    int64_t layer_stride_bytes;
    int64_t block_stride_bytes;  /* default: the bytes of a block, or of a plane where K and V lie apart */
    int64_t values_offset_bytes; /* where K and V lie apart: from the keys of a block to its values; else 0 */
    void* const* layer_bases;    /* one per layer of the group */
    void* const* value_bases;    /* V in tensors of its own, laid out as K in layer_bases */
    int32_t base_count;          /* entries of layer_bases, and of value_bases */
    int32_t reserved;
} kvh_group_memory;

KVH_API kvh_status kvh_cache_wrap(kvh_layout layout, const kvh_group_memory* groups, int32_t group_count, const kvh_cache_options* options, kvh_cache* cache);

typedef struct kvh_cache_info {
    uint32_t struct_size;
    int32_t reserved;
    int64_t free_tokens; /* that a new sequence could be given */
    int64_t used_blocks; /* by sequences, handoffs and the host */
} kvh_cache_info;

KVH_API kvh_status kvh_cache_describe(kvh_cache cache, kvh_cache_info* info);
/* Host blocks: the library may grant these blocks from now on; and back, any that are free, or none and KVH_E_NO_SPACE. */
KVH_API kvh_status kvh_cache_give_blocks(kvh_cache cache, int32_t group, const int32_t* blocks, int32_t count);
KVH_API kvh_status kvh_cache_take_blocks(kvh_cache cache, int32_t group, int32_t* blocks, int32_t count);
/* Bytes of K or of V of a block in one layer of the model; for both, where they lie together, ask for KVH_KEY. */
KVH_API kvh_status kvh_cache_block(kvh_cache cache, int32_t layer, int32_t block, int32_t plane, void** address, int64_t* bytes);
/* Scale of a head that the blocks do not store; head -1 for all. Before the first row is written. */
KVH_API kvh_status kvh_cache_set_scale(kvh_cache cache, int32_t layer, int32_t head, int32_t plane, float scale);

/* ---- Sequences ------------------------------------------------------------------------------------------------------------------------ */

typedef struct kvh_block_span {
    const int32_t* blocks;
    int64_t count;
} kvh_block_span;

KVH_API kvh_status kvh_sequence_create(kvh_cache cache, kvh_sequence* sequence);
/* A sequence in blocks that the host holds (KVH_CACHE_HOST_BLOCKS), one span per layer group. They stay the host's when it is closed, but
 * must not be given or written before that. */
KVH_API kvh_status kvh_sequence_adopt(kvh_cache cache, const kvh_block_span* groups, int32_t group_count, int32_t tokens, kvh_sequence* sequence);
/* Takes free blocks until there is room for so many tokens in all: KVH_E_NO_SPACE, and none taken, when there are too few. */
KVH_API kvh_status kvh_sequence_reserve(kvh_sequence sequence, int32_t tokens);
/* Rows of one layer from fp32, [token][kv head][dim], keys rotated; values null for a latent layer. */
KVH_API kvh_status kvh_sequence_write(kvh_sequence sequence, int32_t layer, int32_t start, int32_t tokens, const float* keys, const float* values);
/* So many tokens more are complete in every layer. */
KVH_API kvh_status kvh_sequence_advance(kvh_sequence sequence, int32_t tokens);

typedef struct kvh_sequence_info {
    uint32_t struct_size;
    int32_t tokens;   /* complete */
    int32_t capacity; /* room for, without taking blocks */
    int32_t reserved;
} kvh_sequence_info;

KVH_API kvh_status kvh_sequence_describe(kvh_sequence sequence, kvh_sequence_info* info);
/* Its blocks, in order. *count gets all of them; KVH_E_BUFFER when there is room for fewer. */
KVH_API kvh_status kvh_sequence_blocks(kvh_sequence sequence, int32_t group, int32_t* blocks, int32_t capacity, int32_t* count);
/* Host blocks: the blocks of a landed sequence become the host's and stay so when it is closed. */
KVH_API kvh_status kvh_sequence_keep_blocks(kvh_sequence sequence);

/* ---- Codecs ------------------------------------------------------------------------------------------------------------------------- */

enum {
    KVH_CODEC_DEFAULT = 0, /* the sender's; of a sender raw */
    KVH_CODEC_RAW = 1,
    KVH_CODEC_FP8 = 2,   /* e4m3, fp32 scale per (token, head) */
    KVH_CODEC_INT8 = 3,  /* K scale per (head, channel) of 64 tokens, V per (token, head) */
    KVH_CODEC_MXFP8 = 4, /* e4m3, power-of-two scale per 32 elements */
    KVH_CODEC_EXPONENT_WINDOW = 5, /* lossless for bf16 */
    KVH_CODEC_LZ4 = 6,
    KVH_CODEC_AUTO = 254,      /* offers only: raw or lossless, per frame */
    KVH_CODEC_AUTO_LOSSY = 255 /* offers only */
};
enum { KVH_HAD_NAN = 1, KVH_HAD_INFINITY = 2 };

/* Rows of one head of K or V: [tokens][head_dim], end to end. */
typedef struct kvh_segment {
    uint32_t struct_size;
    int32_t codec;
    int32_t tokens;   /* 1 to 64 */
    int32_t head_dim;
    int32_t element;
    int32_t plane;    /* KVH_KEY or KVH_VALUE */
} kvh_segment;

KVH_API kvh_status kvh_codec_max_bytes(const kvh_segment* segment, int64_t* bytes);
KVH_API kvh_status kvh_codec_encode(const kvh_segment* segment, const void* rows, void* encoded, int64_t capacity, int64_t* bytes, uint32_t* flags);
/* Bytes of a peer: KVH_E_CORRUPT for what is not an encoded segment of this shape; nothing is written outside the rows. */
KVH_API kvh_status kvh_codec_decode(const kvh_segment* segment, const void* encoded, int64_t bytes, void* rows);

/* ---- Kernels -------------------------------------------------------------------------------------------------------------------------- */

/* Rows at a stride to 8-bit codes, end to end, and back. code: KVH_FP8_E4M3, KVH_FP8_E5M2 or KVH_INT8. flags may be null. */
typedef struct kvh_rows {
    uint32_t struct_size;
    int32_t element;      /* KVH_FP32, KVH_FP16 or KVH_BF16 */
    int64_t stride_bytes; /* default: rows end to end */
    int32_t rows;
    int32_t row_length;
    int32_t code;
    int32_t scale_type; /* KVH_SCALE_FP32 (default), or KVH_SCALE_BF16: rounded, still returned as fp32 */
} kvh_rows;

/* One scale per row. */
KVH_API kvh_status kvh_pack_rows(const kvh_rows* shape, const void* source, uint8_t* codes, float* scales, uint32_t* flags);
KVH_API kvh_status kvh_unpack_rows(const kvh_rows* shape, const uint8_t* codes, const float* scales, void* destination);
/* One scale per column. */
KVH_API kvh_status kvh_pack_channels(const kvh_rows* shape, const void* source, uint8_t* codes, float* scales, uint32_t* flags);
KVH_API kvh_status kvh_unpack_channels(const kvh_rows* shape, const uint8_t* codes, const float* scales, void* destination);
/* One given scale. */
KVH_API kvh_status kvh_pack_fixed(const kvh_rows* shape, const void* source, float scale, uint8_t* codes, uint32_t* flags);
KVH_API kvh_status kvh_unpack_fixed(const kvh_rows* shape, const uint8_t* codes, float scale, void* destination);
/* One E8M0 scale per 32 elements of a row. */
KVH_API kvh_status kvh_pack_mx(const kvh_rows* shape, const void* source, uint8_t* codes, uint8_t* scales, uint32_t* flags);
KVH_API kvh_status kvh_unpack_mx(const kvh_rows* shape, const uint8_t* codes, const uint8_t* scales, void* destination);
/* Between element types, rounding at most once; not for int8. */
KVH_API kvh_status kvh_convert(const void* source, int32_t from, void* destination, int32_t to, int64_t elements);
/* CRC-32C. *crc goes in (0 to begin with) and comes out. */
KVH_API kvh_status kvh_crc32c(const void* data, int64_t bytes, uint32_t* crc);
KVH_API kvh_status kvh_copy_crc32c(const void* source, void* destination, int64_t bytes, uint32_t* crc);

/* ---- Decode attention ---------------------------------------------------------------------------------------------------------------- */

enum { KVH_WEIGHTS_FP32 = 0, KVH_WEIGHTS_BF16 = 1 };
enum { KVH_ATTEND_QUERY_POSITION = 1 /* query_position is given */ };

typedef struct kvh_attention {
    uint32_t struct_size;
    uint32_t flags;
    int32_t layer;
    int32_t tokens;        /* to read, the queries' own included; 0: the sequence's complete ones */
    int32_t query_heads;
    int32_t query_tokens;  /* default 1; each sees the tokens up to its own */
    int32_t latent_dim;    /* latent layers: leading elements of a row that are its value */
    int32_t window_tokens; /* 0: none but the layer's */
    int32_t start_token;   /* part of the sequence [start_token, end_token); both 0: all */
    int32_t end_token;
    int32_t query_position;
    int32_t weights;
    float softmax_scale;   /* 0: 1 / sqrt(head dim); a latent layer needs it */
    float logit_cap;       /* 0: none */
    const float* sinks;    /* one logit per query head, or null */
} kvh_attention;

/* query [query token][query head][dim], output the same ([..][latent_dim] for a latent layer), log_sum_exp [query token][query head]. The
 * sequence may be an incoming handoff's (kvh_incoming_target) for layers that have landed. */
KVH_API kvh_status kvh_attend(kvh_sequence sequence, const kvh_attention* attention, const float* query, float* output, float* log_sum_exp);

/* Many sequences on several threads of the library. Sequences stay open and unchanged while they are in a batch. */
KVH_API kvh_status kvh_batch_create(int32_t threads, kvh_batch* batch);
KVH_API kvh_status kvh_batch_add(kvh_batch batch, kvh_sequence sequence, int32_t tokens, int32_t query_tokens);
KVH_API kvh_status kvh_batch_clear(kvh_batch batch);
/* Queries of all sequences, one after the other; start_token, end_token, tokens, query_tokens and query_position are not used. */
KVH_API kvh_status kvh_batch_attend(kvh_batch batch, const kvh_attention* attention, const float* query, float* output, float* log_sum_exp);

/* ---- Canary -------------------------------------------------------------------------------------------------------------------------- */

/* A query of one head and what the engine's attention gave for it, for the last prompt token. */
typedef struct kvh_canary_pair {
    uint32_t struct_size;
    int32_t layer;
    int32_t head;   /* query head */
    int32_t has_sink;
    const float* query;  /* [head_dim], rotated, unscaled */
    const float* output; /* [head_dim], of a latent layer [latent_dim] */
    float sink;
    int32_t reserved;
} kvh_canary_pair;

typedef struct kvh_canary {
    uint32_t struct_size;
    int32_t seeded; /* so many pairs that the library makes from the handoff's id, 1 to 256; then pairs are null */
    const kvh_canary_pair* pairs;
    int32_t pair_count;
    int32_t query_heads;
    int32_t tokens; /* seen by the queries; 0: all of the handoff */
    int32_t latent_dim;
    float softmax_scale;
    float logit_cap;
} kvh_canary;

enum { KVH_PRECISION_EXACT = 1, KVH_PRECISION_ROUNDED_16 = 2, KVH_PRECISION_INT8 = 3, KVH_PRECISION_FP8 = 4, KVH_PRECISION_MXFP8 = 5, KVH_PRECISION_COARSE_8 = 6 };

/* Attends with the pairs' queries to a sequence and compares: KVH_OK, or KVH_E_CORRUPT. *error (may be null) gets the largest deviation. */
KVH_API kvh_status kvh_canary_verify(kvh_sequence sequence, const kvh_canary* canary, int32_t precision, float* error);

/* ---- Tickets and TLS ------------------------------------------------------------------------------------------------------------------ */

typedef struct kvh_uuid {
    uint8_t bytes[16]; /* in the order of the text form; all zero: none */
} kvh_uuid;

/* Keys of 32 to 128 random bytes, by number; the first one signs. */
KVH_API kvh_status kvh_keyring_create(uint32_t key_id, const uint8_t* key, size_t key_bytes, kvh_keyring* keyring);
/* Senders and receivers that have the ring see the change at once. */
KVH_API kvh_status kvh_keyring_add(kvh_keyring keyring, uint32_t key_id, const uint8_t* key, size_t key_bytes);
KVH_API kvh_status kvh_keyring_sign_with(kvh_keyring keyring, uint32_t key_id);
KVH_API kvh_status kvh_keyring_remove(kvh_keyring keyring, uint32_t key_id);

typedef struct kvh_claims {
    uint32_t struct_size;
    uint32_t reserved;
    const char* audience; /* name of the receiver */
    const char* sender;   /* name of the sender */
    kvh_uuid handoff_id;
    int64_t max_kv_bytes;
    int64_t not_before_unix_ms; /* 0: now */
    int64_t lifetime_ms;        /* default 5 minutes; at most 24 hours */
} kvh_claims;

/* KVH_TICKET_MAX_BYTES are always enough. */
#define KVH_TICKET_MAX_BYTES 614
KVH_API kvh_status kvh_ticket_issue(kvh_keyring keyring, const kvh_claims* claims, uint8_t* ticket, size_t capacity, size_t* bytes);

typedef struct kvh_tls_options {
    uint32_t struct_size;
    int32_t allow_any_client;     /* a listener: clients without certificate too */
    const char* certificate_file; /* PEM: own certificate, and intermediates */
    const char* key_file;         /* PEM: its private key */
    const char* roots_file;       /* PEM: the only roots that are trusted */
    const char* pinned_sha256;    /* accepted certificates, 64 hexadecimal digits each, separated by commas */
    const char* expected_host;    /* default: the endpoint's */
} kvh_tls_options;

KVH_API kvh_status kvh_tls_create(const kvh_tls_options* options, kvh_tls* tls);

enum { KVH_TRANSPORT_ALLOW_REMOTE_PLAINTEXT = 1 };

typedef struct kvh_transport {
    uint32_t struct_size;
    uint32_t flags;
    kvh_tls tls; /* for tls:// */
    int32_t send_buffer_bytes; /* 0: the kernel's choice */
    int32_t receive_buffer_bytes;
    int64_t connect_timeout_ms;       /* default 10 s */
    const uint32_t* allowed_user_ids; /* unix:// and shm://; none: this process's own */
    int32_t allowed_user_id_count;
    int32_t reserved;
} kvh_transport;

/* ---- Sender --------------------------------------------------------------------------------------------------------------------------- */

typedef struct kvh_sender_options {
    uint32_t struct_size;
    int32_t streams; /* data connections, default 1 */
    int32_t codec;   /* of offers that name none */
    int32_t reserved;
    int64_t handshake_timeout_ms; /* default 10 s */
    int64_t resume_within_ms;     /* handoffs go on if a broken connection stands again so soon; default 0: they end */
    const char* name;             /* default: the host's name */
    const kvh_transport* transport;
} kvh_sender_options;

/* Connects to tcp://host:port, tls://host:port, unix:///path, shm:///path or loopback://name (this process), and compares the caches. Waits. */
KVH_API kvh_status kvh_sender_connect(const char* endpoint, kvh_cache cache, const kvh_sender_options* options, kvh_sender* sender);
/* A few lines: the way of the bytes, why it is that, and what to change. */
KVH_API kvh_status kvh_sender_path(kvh_sender sender, char* buffer, size_t capacity, size_t* needed);
KVH_API kvh_status kvh_sender_steps(kvh_sender sender, uint32_t* steps);

enum { KVH_OUTCOME_UNKNOWN = 0, KVH_OUTCOME_IN_PROGRESS = 1, KVH_OUTCOME_COMMITTED = 2, KVH_OUTCOME_ABORTED = 3, KVH_OUTCOME_EXPIRED = 4, KVH_OUTCOME_REJECTED = 5 };

/* How a handoff ended at the receiver. Waits. */
KVH_API kvh_status kvh_sender_query(kvh_sender sender, const kvh_uuid* handoff_id, int64_t timeout_ms, int32_t* outcome);

enum { KVH_INTENT_SERVE = 0, KVH_INTENT_MIGRATE = 1, KVH_INTENT_PREFETCH = 2, KVH_INTENT_STORE = 3 };

typedef struct kvh_offer {
    uint32_t struct_size;
    int32_t total_tokens;
    kvh_uuid handoff_id; /* zero: a new one */
    int32_t codec;
    int32_t priority;    /* 0 to 255, higher first */
    int32_t intent;
    uint32_t ticket_bytes;
    const uint8_t* ticket;
    int64_t deadline_ms;      /* default 60 s */
    int64_t wait_for_room_ms; /* default 0: rejected at once without room */
    const char* request_id;
} kvh_offer;

/* Offers a sequence with room for all tokens, whose rows need not be there yet. Does not wait: the handoff is granted or fails as an event.
 * Layers may be published at once. The sequence stays open until the handoff has ended. */
KVH_API kvh_status kvh_sender_offer(kvh_sender sender, kvh_sequence sequence, const kvh_offer* offer, kvh_outgoing* outgoing);
/* The same without a sequence of this cache: rows are written into the receiver's blocks with kvh_outgoing_write. shm:// to a
 * KVH_CACHE_SHARED cache. */
KVH_API kvh_status kvh_sender_offer_in_place(kvh_sender sender, const kvh_offer* offer, kvh_outgoing* outgoing);

/* ---- Outgoing handoff ------------------------------------------------------------------------------------------------------------------- */

/* Rows of tokens start .. start + tokens - 1 of a layer are final. Never waits; any thread, any order. */
KVH_API kvh_status kvh_outgoing_publish(kvh_outgoing outgoing, int32_t layer, int32_t start, int32_t tokens);
/* In place, after KVH_EVENT_GRANTED: as kvh_sequence_write. */
KVH_API kvh_status kvh_outgoing_write(kvh_outgoing outgoing, int32_t layer, int32_t start, int32_t tokens, const float* keys, const float* values);

typedef struct kvh_manifest {
    uint32_t struct_size;
    int32_t position;    /* tokens in the cache */
    int32_t first_token; /* sampled by prefill; -1: none */
    int32_t token_count;
    const int32_t* token_ids;
    const void* sampler_state;
    const void* host_metadata;
    uint32_t sampler_state_bytes;
    uint32_t host_metadata_bytes;
} kvh_manifest;

/* All layers are published: sends the manifest. Does not wait: the verdict is an event. canary may be null. */
KVH_API kvh_status kvh_outgoing_commit(kvh_outgoing outgoing, const kvh_manifest* manifest, const kvh_canary* canary);
/* Ends it; KVH_EVENT_FAILED (or COMMITTED, if that was first) follows when the blocks are reusable. Does not wait. */
KVH_API kvh_status kvh_outgoing_cancel(kvh_outgoing outgoing);

enum { KVH_STATUS_OFFERED = 0, KVH_STATUS_LANDING = 1, KVH_STATUS_PREPARED = 2, KVH_STATUS_COMMITTED = 3, KVH_STATUS_ABORTED = 4, KVH_STATUS_EXPIRED = 5, KVH_STATUS_REJECTED = 6 };

typedef struct kvh_outgoing_info {
    uint32_t struct_size;
    int32_t state; /* KVH_STATUS_... */
    kvh_uuid handoff_id;
    int32_t total_tokens;
    int32_t reused_tokens; /* that the receiver had already */
} kvh_outgoing_info;

KVH_API kvh_status kvh_outgoing_describe(kvh_outgoing outgoing, kvh_outgoing_info* info);

enum {
    KVH_PHASE_QUEUE = 0,
    KVH_PHASE_RESERVE = 1,
    KVH_PHASE_GATHER = 2,
    KVH_PHASE_ENCODE = 3,
    KVH_PHASE_WIRE = 4,
    KVH_PHASE_VERIFY = 5,
    KVH_PHASE_PLACE = 6,
    KVH_PHASE_COMMIT = 7,
    KVH_PHASE_FIRST_ATTEND = 8,
    KVH_PHASES = 9
};

typedef struct kvh_cost {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t kv_bytes;
    int64_t wire_bytes;
    int64_t bytes_copied;
    int64_t elapsed_ns;
    int64_t phase_ns[KVH_PHASES];
} kvh_cost;

/* Good for outgoing handoffs that are committed and for incoming ones at any time. */
KVH_API kvh_status kvh_handoff_cost(kvh_handle handoff, kvh_cost* cost);

/* ---- Receiver --------------------------------------------------------------------------------------------------------------------------- */

typedef struct kvh_admission_request {
    uint32_t struct_size;
    int32_t total_tokens;
    kvh_uuid handoff_id;
    const char* request_id; /* valid during the call */
    const char* sender_name;
    int64_t kv_bytes;
    int64_t bytes_free;
    int64_t deadline_ms;
    int64_t granted_bytes; /* of handoffs that are landing */
    int32_t open_handoffs;
    int32_t waiting_offers;
    int32_t priority;
    int32_t intent;
} kvh_admission_request;

/* 1 grants. 0 refuses: *retry_after_ms (0 at first: never) tells the sender when to try again, reason (of capacity bytes) why. */
typedef int32_t (*kvh_admission_fn)(void* user, const kvh_admission_request* request, int64_t* retry_after_ms, char* reason, size_t capacity);

enum { KVH_RECEIVER_SAME_HOST_TRUST = 1 /* rows that a sender wrote into the blocks by itself are not read to verify them */ };

typedef struct kvh_receiver_options {
    uint32_t struct_size;
    uint32_t flags;
    int32_t max_streams;     /* of one sender, default 8 */
    int32_t clock_skew_ms;   /* of tickets, default 30 s */
    int64_t lease_ms;        /* without a sign of the sender for so long a handoff expires; default 10 s */
    int64_t handshake_timeout_ms;
    const char* name;        /* default: the host's name; tickets are for it */
    const kvh_transport* transport;
    kvh_keyring tickets;     /* 0: any offer may come */
    kvh_admission_fn admission; /* null: all that fit */
    void* admission_user;
} kvh_receiver_options;

KVH_API kvh_status kvh_receiver_listen(const char* endpoint, kvh_cache cache, const kvh_receiver_options* options, kvh_receiver* receiver);
/* Where senders connect, with the real port when 0 was asked for. */
KVH_API kvh_status kvh_receiver_endpoint(kvh_receiver receiver, char* buffer, size_t capacity, size_t* needed);

typedef struct kvh_receiver_info {
    uint32_t struct_size;
    int32_t open_handoffs;
    int32_t waiting_offers;
    int32_t quarantined_handoffs; /* ended, while their sender may still write into their blocks */
    int64_t fenced_frames;
    int64_t data_bytes;
} kvh_receiver_info;

KVH_API kvh_status kvh_receiver_describe(kvh_receiver receiver, kvh_receiver_info* info);
/* The next granted handoff; KVH_TIMEOUT; KVH_END when the receiver is closed. timeout_ms: 0 does not wait (KVH_PENDING), below 0 for ever. */
KVH_API kvh_status kvh_receiver_next(kvh_receiver receiver, int64_t timeout_ms, kvh_incoming* incoming);

/* ---- Incoming handoff --------------------------------------------------------------------------------------------------------------------- */

typedef struct kvh_incoming_info {
    uint32_t struct_size;
    int32_t state; /* KVH_STATUS_... */
    kvh_uuid handoff_id;
    int32_t total_tokens;
    int32_t reused_tokens;
    int32_t layers;
    int32_t layers_landed;
    int32_t priority;
    int32_t intent;
} kvh_incoming_info;

KVH_API kvh_status kvh_incoming_describe(kvh_incoming incoming, kvh_incoming_info* info);
KVH_API kvh_status kvh_incoming_request_id(kvh_incoming incoming, char* buffer, size_t capacity, size_t* needed);
/* KVH_OK once every row of the layer has landed and is verified; as kvh_receiver_next otherwise, or the handoff's failure. */
KVH_API kvh_status kvh_incoming_wait_layer(kvh_incoming incoming, int32_t layer, int64_t timeout_ms);
/* The sequence while it lands, to attend to layers that have. It ends with the handoff: close it before or after, it gives no blocks back. */
KVH_API kvh_status kvh_incoming_target(kvh_incoming incoming, kvh_sequence* sequence);
/* Committed: the sequence becomes the host's, once. */
KVH_API kvh_status kvh_incoming_take(kvh_incoming incoming, kvh_sequence* sequence);
/* Committed: what came with it. Pointers are valid until the incoming handoff is closed. */
KVH_API kvh_status kvh_incoming_manifest(kvh_incoming incoming, kvh_manifest* manifest);
/* Gives it up; KVH_EVENT_FAILED (or COMMITTED) follows when the blocks are free. Does not wait. */
KVH_API kvh_status kvh_incoming_cancel(kvh_incoming incoming);
/* Books the host's first decode step. */
KVH_API kvh_status kvh_incoming_first_attend(kvh_incoming incoming, int64_t elapsed_ns);

#ifdef __cplusplus
}
#endif
#endif
