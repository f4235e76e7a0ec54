using System.Text.Json;
using System.Text.Json.Serialization;

namespace KvHandoff.Bench.Workers;

/// <summary>One line of JSON between the program and a worker process. Orchestration only: no cache byte travels this way.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(SinkRequest), "sink")]
[JsonDerivedType(typeof(OpenDecodeRequest), "open-decode")]
[JsonDerivedType(typeof(OpenPrefillRequest), "open-prefill")]
[JsonDerivedType(typeof(ReceivePromptRequest), "receive-prompt")]
[JsonDerivedType(typeof(ReceiveShapedRequest), "receive-shaped")]
[JsonDerivedType(typeof(SendPromptRequest), "send-prompt")]
[JsonDerivedType(typeof(SendShapedRequest), "send-shaped")]
[JsonDerivedType(typeof(ReceiveManyRequest), "receive-many")]
[JsonDerivedType(typeof(SendManyRequest), "send-many")]
[JsonDerivedType(typeof(SendPrefilledRequest), "send-prefilled")]
[JsonDerivedType(typeof(OpenedReply), "opened")]
[JsonDerivedType(typeof(ReadyReply), "ready")]
[JsonDerivedType(typeof(GeneratedReply), "generated")]
[JsonDerivedType(typeof(LandedReply), "landed")]
[JsonDerivedType(typeof(SentReply), "sent")]
[JsonDerivedType(typeof(ManyLandedReply), "many-landed")]
[JsonDerivedType(typeof(ManySentReply), "many-sent")]
[JsonDerivedType(typeof(FailedReply), "failed")]
internal abstract record WorkerMessage
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    internal string ToLine() => JsonSerializer.Serialize(this, Options);

    internal static WorkerMessage FromLine(string line) =>
        JsonSerializer.Deserialize<WorkerMessage>(line, Options) ?? throw new JsonException("A worker's line is null; expected an object.");
}

/// <summary>To the receiver of a bare loop; for tls with a certificate and its key.</summary>
internal sealed record SinkRequest(string Transport, string? Certificate) : WorkerMessage;

/// <summary>
/// To a decode process: listen with a cache of this model and size; for tls with a certificate and its key; trusting, or reading again, what senders on this
/// host wrote in place.
/// </summary>
internal sealed record OpenDecodeRequest(string Model, int CapacityTokens, int Streams, string Transport, string? Certificate, bool SameHostTrust = false) : WorkerMessage;

/// <summary>To a prefill process: connect to that receiver with a cache of this model and size.</summary>
internal sealed record OpenPrefillRequest(string Model, int CapacityTokens, int Streams, string Endpoint, string Codec, string? Certificate) : WorkerMessage;

/// <summary>To a decode process: take the next handoff and generate from it, or read a given continuation against it.</summary>
internal sealed record ReceivePromptRequest(int CompletionTokens, int[] Continuation, string Fault) : WorkerMessage;

/// <summary>To a decode process: poison the pool, take the next handoff and compare every byte with what the seed gives.</summary>
internal sealed record ReceiveShapedRequest(ulong Seed, int Tokens, string Codec) : WorkerMessage;

/// <summary>To a prefill process: prefill this prompt, publishing each layer as it is done, and commit.</summary>
internal sealed record SendPromptRequest(int[] Prompt, string RequestId, int LayerDelayMilliseconds) : WorkerMessage;

/// <summary>To a prefill process: publish a synthesised cache and commit.</summary>
internal sealed record SendShapedRequest(ulong Seed, int Tokens, string RequestId, int LayerDelayMilliseconds) : WorkerMessage;

/// <summary>To a prefill process: hand a synthesised sequence over so many times, one after the other, and time each.</summary>
internal sealed record SendManyRequest(ulong Seed, int Tokens, int Handoffs) : WorkerMessage;

/// <summary>To a prefill process: write a synthesised sequence straight into the receiver's blocks so many times, and time each from there on.</summary>
internal sealed record SendPrefilledRequest(ulong Seed, int Tokens, int Handoffs) : WorkerMessage;

/// <summary>To a decode process: take so many handoffs and compare every byte of the last one.</summary>
internal sealed record ReceiveManyRequest(ulong Seed, int Tokens, int Handoffs) : WorkerMessage;

/// <summary>The worker is set up; receivers say where they listen.</summary>
internal sealed record OpenedReply(string Endpoint) : WorkerMessage;

/// <summary>The receiver has poisoned its pool and waits for the offer.</summary>
internal sealed record ReadyReply : WorkerMessage;

/// <summary>What a decode process made of a landed cache. Times are monotonic clock ticks, which processes of one host share.</summary>
internal sealed record GeneratedReply(int[] Tokens, double NegativeLogLikelihood, long PrefilledTokens, long CommittedAt, long SecondTokenAt, long LastTokenAt, WorkerCost Cost) : WorkerMessage;

/// <summary>What the comparison of a landed, synthesised cache found.</summary>
internal sealed record LandedReply(long BytesCompared, long DifferentBytes, long TailBytesChecked, long TailBytesChanged, string FirstDifference, long SocketBytes, double CpuSeconds, WorkerCost Cost) : WorkerMessage;

/// <summary>The sender's side of a handoff.</summary>
internal sealed record SentReply(double PrefillSeconds, double CpuSeconds, WorkerCost Cost) : WorkerMessage;

/// <summary>What many handoffs took, each from the offer to the verdict; of the costs those of the last.</summary>
/// <param name="Seconds">Of each.</param>
/// <param name="TotalSeconds">Of all, with what lies between them.</param>
/// <param name="AllocatedBytes">In this process, over all of them.</param>
/// <param name="Cost">Of the last one.</param>
internal sealed record ManySentReply(double[] Seconds, double TotalSeconds, long AllocatedBytes, WorkerCost Cost) : WorkerMessage;

/// <summary>The receiver's side of many handoffs.</summary>
internal sealed record ManyLandedReply(long BytesCompared, long DifferentBytes, string FirstDifference, long AllocatedBytes, WorkerCost Cost) : WorkerMessage;

/// <summary>The worker's request failed; the worker itself lives.</summary>
internal sealed record FailedReply(string Failure, string Message) : WorkerMessage;

/// <summary>One side's cost of a handoff; phases in seconds, those of the other side are 0.</summary>
internal sealed record WorkerCost(long KvBytes, long WireBytes, long BytesCopied, double Seconds, Dictionary<string, double> Phases);
