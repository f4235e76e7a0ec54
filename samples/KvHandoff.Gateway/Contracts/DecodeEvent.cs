using System.Text.Json.Serialization;

namespace KvHandoff.Gateway.Contracts;

/// <summary>What a generating worker says of one request, in order.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(DecodeStarted), "started")]
[JsonDerivedType(typeof(DecodeTokens), "tokens")]
[JsonDerivedType(typeof(DecodeFinished), "finished")]
[JsonDerivedType(typeof(DecodeFailed), "failed")]
internal abstract record DecodeEvent;

/// <summary>The cache is committed, and generating begins.</summary>
/// <param name="QueueSeconds">Waited in this worker for a place in the batch.</param>
/// <param name="PromptSeconds">Computing the prompt, where this worker did it; else 0.</param>
/// <param name="CachedTokens">Prompt tokens that were in this worker's cache already.</param>
internal sealed record DecodeStarted(double QueueSeconds, double PromptSeconds, int CachedTokens) : DecodeEvent;

/// <summary>The next tokens, 1 or more. Stop sequences and what might become one are held back.</summary>
internal sealed record DecodeTokens(int[] Tokens) : DecodeEvent;

/// <summary>The text is complete.</summary>
/// <param name="Reason">"stop" or "length".</param>
/// <param name="CompletionTokens">Tokens that were generated; those of a stop sequence included.</param>
/// <param name="CompletionSeconds">From the start of generating to the last token.</param>
/// <param name="FirstStepSeconds">From the commit to the first token that this worker computed itself.</param>
/// <param name="Preemptions">How often this request made room.</param>
internal sealed record DecodeFinished(string Reason, int CompletionTokens, double CompletionSeconds, double FirstStepSeconds, int Preemptions) : DecodeEvent;

/// <summary>The request ends here without a complete text.</summary>
internal sealed record DecodeFailed(WorkerFailure Failure, string Message) : DecodeEvent;
