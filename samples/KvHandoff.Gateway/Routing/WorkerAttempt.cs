using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Routing;

/// <summary>
/// One attempt of a request at its chosen workers. The decode worker is asked first, the prefill worker at once after, and the answer is the
/// decode worker's alone: its first token waits for no other reply. Disposing cancels what still runs and waits for it.
/// </summary>
internal sealed class WorkerAttempt : IAsyncDisposable
{
    // When the prefill side fails, the decode side is given this long to say that it has committed nevertheless: its verdict is the truth.
    private static readonly TimeSpan VerdictGrace = TimeSpan.FromMilliseconds(500);

    // The sender's account arrives with the commit, long before the last token.
    private static readonly TimeSpan AccountGrace = TimeSpan.FromSeconds(2);

    private readonly WorkerChoice _choice;
    private readonly RoutingOptions _options;
    private readonly CancellationTokenSource _ending;
    private readonly IAsyncEnumerator<DecodeEvent> _events;
    private readonly WorkerSeat.Stay _decodeStay;
    private readonly WorkerSeat.Stay? _prefillStay;
    private readonly Task<PrefillResult>? _prefill;
    private Task<bool> _next;
    private bool _started;

    internal WorkerAttempt(GatewayRequest request, WorkerChoice choice, TicketIssuer tickets, RoutingOptions options, Guid handoffId, CancellationToken cancellationToken)
    {
        (_choice, _options) = (choice, options);
        _ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        int deadline = (int)options.HandoffDeadline.TotalMilliseconds, prompt = request.Prompt.Length;
        _decodeStay = choice.Decode.Enter(choice.Prefill is null ? prompt : 0, prompt + request.MaxTokens);
        if (choice.Prefill is not { } sender)
        {
            _events = choice.Decode.Worker.GenerateAsync(
                new GenerateRequest { RequestId = request.RequestId, Prompt = request.Prompt, MaxTokens = request.MaxTokens, Stop = request.Stop, Sampling = request.Sampling }, _ending.Token).GetAsyncEnumerator(_ending.Token);
            _next = _events.MoveNextAsync().AsTask();
            return;
        }

        WorkerStatus receiver = choice.Decode.Status!;
        _prefillStay = sender.Enter(prompt, prompt);
        byte[] ticket = tickets.Issue(sender.Name, receiver, handoffId, prompt, options.HandoffDeadline);
        _events = choice.Decode.Worker.DecodeAsync(
            new DecodeRequest { RequestId = request.RequestId, HandoffId = handoffId, MaxTokens = request.MaxTokens, Stop = request.Stop, Sampling = request.Sampling, DeadlineMilliseconds = deadline }, _ending.Token).GetAsyncEnumerator(_ending.Token);
        _next = _events.MoveNextAsync().AsTask();
        _prefill = PrefillAsync(sender, new PrefillRequest
        {
            RequestId = request.RequestId,
            HandoffId = handoffId,
            TargetName = receiver.Name,
            TargetEndpoint = receiver.HandoffEndpoint!,
            Ticket = ticket,
            Prompt = request.Prompt,
            Sampling = request.Sampling,
            DeadlineMilliseconds = deadline,
        });
    }

    /// <summary>The next event; never a <see cref="DecodeFailed"/>.</summary>
    /// <exception cref="WorkerException">The attempt failed; the exception names the worker to blame.</exception>
    internal async Task<DecodeEvent> NextAsync(CancellationToken cancellationToken)
    {
        try
        {
            // Armed only while the worker is waited for: a slow client is not the worker's fault.
            _ending.CancelAfter(_started ? _options.StallLimit : _options.HandoffDeadline);
            if (!_started && _prefill is not null) await WaitForCommitAsync();
            bool more = await _next;
            _ending.CancelAfter(Timeout.InfiniteTimeSpan);
            if (!more) throw new WorkerException(WorkerFailure.Lost, _choice.Decode.Name, "its answer ended before the text did");
            DecodeEvent said = _events.Current;
            if (said is DecodeFailed failed) throw new WorkerException(failed.Failure, _choice.Decode.Name, failed.Message);
            _started = true;
            if (said is not DecodeFinished) _next = _events.MoveNextAsync().AsTask();
            return said;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw _started
                ? new WorkerException(WorkerFailure.Lost, _choice.Decode.Name, $"it said nothing for {_options.StallLimit.TotalSeconds:0.#} s")
                : new WorkerException(WorkerFailure.Handoff, _choice.Decode.Name, $"generating did not begin within {_options.HandoffDeadline.TotalSeconds:0.#} s");
        }
    }

    /// <summary>The sender's account of the handoff; null where there is none.</summary>
    internal async Task<PrefillResult?> PrefillResultAsync()
    {
        if (_prefill is null) return null;
        await ((Task)_prefill).WaitAsync(AccountGrace).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return _prefill.IsCompletedSuccessfully ? await _prefill : null;
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        // An enumerator is not disposed while a step of it is under way.
        await ((Task)_next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            await _events.DisposeAsync();
        }
        catch (Exception e) when (e is WorkerException or OperationCanceledException or IOException)
        {
            // The attempt is over; what it came to was said by its last event.
        }

        if (_prefill is not null) await ((Task)_prefill).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _decodeStay.Dispose();
        _ending.Dispose();
    }

    private async Task<PrefillResult> PrefillAsync(WorkerSeat sender, PrefillRequest request)
    {
        try
        {
            return await sender.Worker.PrefillAsync(request, _ending.Token);
        }
        finally
        {
            _prefillStay!.Dispose();
        }
    }

    // Whichever side fails first is heard at once, and nobody waits for the other's deadline.
    private async Task WaitForCommitAsync()
    {
        await Task.WhenAny(_next, _prefill!);
        if (_next.IsCompleted || _prefill!.IsCompletedSuccessfully) return;
        if (_prefill.IsFaulted && _prefill.Exception.InnerException is WorkerException { Failure: WorkerFailure.Lost or WorkerFailure.Handoff or WorkerFailure.Internal })
            await ((Task)_next).WaitAsync(VerdictGrace).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_next is { IsCompletedSuccessfully: true, Result: true } && _events.Current is DecodeStarted) return;
        await _prefill;
    }
}
