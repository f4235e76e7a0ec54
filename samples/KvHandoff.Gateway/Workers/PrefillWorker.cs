using System.Diagnostics;
using System.Text.Json;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Stages;
using KvHandoff.Model;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Computes prompts and hands their caches over, layer by layer while they are computed. What it computed stays for the next turn of the
/// conversation, and of what the receiver has nothing travels.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class PrefillWorker(WorkerOptions options, LlamaModel model, WorkerCache cache, StageMap stages, SenderPool senders) : IDisposable
{
    private readonly RequestChecks _checks = new(options.Name, model, cache.CacheTokens);

    /// <summary>Its queue.</summary>
    public PrefillLoop Loop { get; } = new(options, cache, stages, model);

    /// <summary>Computes a prompt and hands it over; completes when the receiver has committed.</summary>
    /// <exception cref="WorkerException">It did not; nothing of the request is left here.</exception>
    public async Task<PrefillResult> PrefillAsync(PrefillRequest request, CancellationToken cancellationToken)
    {
        _checks.Check(request);
        if (Loop.Waiting >= WorkerWire.MaxWaiting) throw new WorkerException(WorkerFailure.Busy, options.Name, $"{Loop.Waiting} prompts wait; allowed: {WorkerWire.MaxWaiting}.");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(request.DeadlineMilliseconds);
        PrefillJob job = Loop.Add(request, limit.Token);
        using CancellationTokenRegistration waking = limit.Token.Register(Loop.Wake);
        try
        {
            return await HandOverAsync(job, limit.Token);
        }
        catch (HandoffException e)
        {
            throw new WorkerException(FailureOf(e), options.Name, $"handoff {request.HandoffId} to {request.TargetName}: {e.Message}", e);
        }
        catch (ArgumentException e)
        {
            throw new WorkerException(WorkerFailure.Invalid, options.Name, e.Message, e);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            bool begun = job.Sequence is not null;
            throw new WorkerException(begun ? WorkerFailure.Handoff : WorkerFailure.Busy, options.Name,
                $"handoff {request.HandoffId} to {request.TargetName} was not committed within {request.DeadlineMilliseconds} ms{(begun ? "" : "; the prompt was not begun")}.", e);
        }
        finally
        {
            // The computing thread may still be in the blocks; it sees at the next layer that nobody waits.
            await limit.CancelAsync();
            await job.Computed.ContinueWith(_ => { }, TaskScheduler.Default);
            if (job.Sequence is { } sequence) cache.End(sequence);
            Loop.Wake();
        }
    }

    public void Dispose() => Loop.Dispose();

    private async Task<PrefillResult> HandOverAsync(PrefillJob job, CancellationToken cancellationToken)
    {
        PrefillRequest request = job.Request;
        await job.Begun;
        TimeSpan deadline = TimeSpan.FromMilliseconds(request.DeadlineMilliseconds);
        var offer = new HandoffOffer
        {
            HandoffId = request.HandoffId,
            TotalTokens = request.Prompt.Length,
            Deadline = deadline,
            WaitForRoom = deadline,
            RequestId = request.RequestId,
            Priority = (byte)Math.Clamp(request.Priority, 0, 255),
            PrefixHashes = WorkerCache.Encode(job.Hashes),
            Ticket = request.Ticket,
        };
        (SenderPool.Use use, OutgoingHandoff outgoing) = await PatientOffer.OfferAsync(senders, request.TargetEndpoint, job.Sequence!, offer, cancellationToken);
        using SenderPool.Use returned = use;
        await using OutgoingHandoff ended = outgoing;
        job.Granted(outgoing);
        int first = await job.Computed;
        HandoffCost cost = await outgoing.CommitAsync(new HandoffManifest([.. request.Prompt], request.Prompt.Length, first), cancellationToken);
        return new PrefillResult(job.QueueSeconds, job.PromptSeconds, job.CachedTokens, cost.KvBytes, cost.WireBytes,
            Stopwatch.GetElapsedTime(job.ComputedAt).TotalSeconds, Enum.GetValues<HandoffPhase>().ToDictionary(p => JsonNamingPolicy.SnakeCaseLower.ConvertName(p.ToString()), p => cost[p].TotalSeconds));
    }

    private static WorkerFailure FailureOf(HandoffException e) =>
        e is { Failure: HandoffFailure.Rejected, RejectReason: RejectReason.Busy or RejectReason.NoSpace or RejectReason.ShuttingDown } ? WorkerFailure.Busy : WorkerFailure.Handoff;
}
