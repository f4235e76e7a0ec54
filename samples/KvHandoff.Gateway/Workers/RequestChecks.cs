using KvHandoff.Gateway.Contracts;
using KvHandoff.Model;

namespace KvHandoff.Gateway.Workers;

/// <summary>Refuses requests that cannot be what was meant, before anything is reserved for them.</summary>
internal sealed class RequestChecks(string worker, LlamaModel model, long cacheTokens)
{
    private const int MaxDeadlineMilliseconds = 24 * 60 * 60 * 1000, MaxIdCharacters = 256;

    public void Check(PrefillRequest request)
    {
        Id(request.RequestId);
        Prompt(request.Prompt);
        Sampling(request.Sampling);
        Deadline(request.DeadlineMilliseconds);
        if (string.IsNullOrEmpty(request.TargetEndpoint) || request.TargetEndpoint.Length > 512) throw Invalid("the target's endpoint is absent or longer than 512 characters.");
        if (request.Ticket is null || request.Ticket.Length > 4096) throw Invalid($"the ticket has {request.Ticket?.Length ?? 0} bytes; allowed: 0 to 4096.");
    }

    public void Check(DecodeRequest request)
    {
        Id(request.RequestId);
        MaxTokens(request.MaxTokens);
        Stops(request.Stop);
        Sampling(request.Sampling);
        Deadline(request.DeadlineMilliseconds);
    }

    public void Check(GenerateRequest request)
    {
        Id(request.RequestId);
        Prompt(request.Prompt);
        MaxTokens(request.MaxTokens);
        Stops(request.Stop);
        Sampling(request.Sampling);
        Fit(request.Prompt.Length, request.MaxTokens);
    }

    /// <summary>Whether prompt and completion can ever fit.</summary>
    public void Fit(int prompt, int maxTokens)
    {
        long total = (long)prompt + maxTokens;
        if (total > model.Config.MaxPositions) throw TooLong($"{prompt} prompt tokens and up to {maxTokens} generated ones are {total}; the model has {model.Config.MaxPositions} positions.");
        // The last token's row is never written; one more is asked for when a request comes back after it made room.
        if (total > cacheTokens) throw TooLong($"{prompt} prompt tokens and up to {maxTokens} generated ones are {total}; the cache holds {cacheTokens}.");
    }

    private void Prompt(int[] prompt)
    {
        if (prompt is null || prompt.Length == 0) throw Invalid("the prompt has 0 tokens; 1 or more are needed.");
        if (prompt.Length >= model.Config.MaxPositions) throw TooLong($"the prompt has {prompt.Length} tokens; the model has {model.Config.MaxPositions} positions.");
        if (prompt.Length > cacheTokens) throw TooLong($"the prompt has {prompt.Length} tokens; the cache holds {cacheTokens}.");
        foreach (int token in prompt) Token(token);
    }

    private void Stops(int[][] stops)
    {
        if (stops is null || stops.Length > StopSequences.MaxSequences) throw Invalid($"there are {stops?.Length ?? 0} stop sequences; allowed: 0 to {StopSequences.MaxSequences}.");
        foreach (int[] stop in stops)
        {
            if (stop is null || stop.Length is 0 or > StopSequences.MaxTokens) throw Invalid($"a stop sequence has {stop?.Length ?? 0} tokens; allowed: 1 to {StopSequences.MaxTokens}.");
            foreach (int token in stop) Token(token);
        }
    }

    private void Token(int token)
    {
        if ((uint)token >= (uint)model.Config.VocabularySize) throw Invalid($"a token is {token}; allowed: 0 to {model.Config.VocabularySize - 1}.");
    }

    private void MaxTokens(int tokens)
    {
        if (tokens < 1) throw Invalid($"{tokens} tokens are to be generated; allowed: 1 or more.");
    }

    private void Sampling(SamplingOptions sampling)
    {
        if (sampling is null || !(sampling.Temperature is >= 0 and <= 100)) throw Invalid($"the temperature is {sampling?.Temperature}; allowed: 0 to 100.");
        if (!(sampling.TopP is > 0 and <= 1)) throw Invalid($"top_p is {sampling.TopP}; allowed: above 0 to 1.");
    }

    private void Deadline(int milliseconds)
    {
        if (milliseconds is < 1 or > MaxDeadlineMilliseconds) throw Invalid($"the deadline is {milliseconds} ms; allowed: 1 to {MaxDeadlineMilliseconds}.");
    }

    private void Id(string id)
    {
        if (id is null || id.Length > MaxIdCharacters) throw Invalid($"the request id has {id?.Length ?? 0} characters; allowed: 0 to {MaxIdCharacters}.");
    }

    private WorkerException Invalid(string text) => new(WorkerFailure.Invalid, worker, text);

    private WorkerException TooLong(string text) => new(WorkerFailure.TooLong, worker, text);
}
