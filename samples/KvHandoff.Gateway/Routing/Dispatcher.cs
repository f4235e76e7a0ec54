using System.Collections.Immutable;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Metrics;
using KvHandoff.Layout;

namespace KvHandoff.Gateway.Routing;

/// <summary>
/// Runs a request at workers until its text is complete. What a lost or full worker leaves undone is begun again elsewhere, also in the middle of
/// the text: decoding is exact, so the replay brings the same tokens, and those that the client has are compared and left out. Thread-safe.
/// </summary>
internal sealed class Dispatcher(WorkerPool pool, WorkerChooser chooser, PrefixMemory prefixes, TicketIssuer tickets, RoutingOptions options, GatewayMetrics metrics)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(20), LongestPause = TimeSpan.FromMilliseconds(500);

    /// <summary>The events of a request: started, tokens, finished. <paramref name="account"/> is filled as it goes.</summary>
    /// <exception cref="RequestFailedException">It was given up, for the reason that the exception says.</exception>
    /// <exception cref="OperationCanceledException">The client has left.</exception>
    internal async IAsyncEnumerable<DecodeEvent> RunAsync(GatewayRequest request, RequestAccount account, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.RequestDeadline);
        var course = new RetryCourse(options);
        var given = new List<int>();
        while (true)
        {
            WorkerChoice choice = await ChooseAsync(request, course, cancellationToken, deadline.Token);
            account.Attempts++;
            (account.Route, account.PrefillWorker, account.DecodeWorker) = (choice.Route, choice.Prefill?.Name ?? "", choice.Decode.Name);
            account.HandoffId = choice.Prefill is null ? Guid.Empty : Guid.NewGuid();
            WorkerException? failure = null;
            int replayed = 0;
            await using (var attempt = new WorkerAttempt(request, choice, tickets, options, account.HandoffId, deadline.Token))
            {
                while (failure is null)
                {
                    DecodeEvent said;
                    try
                    {
                        said = await attempt.NextAsync(deadline.Token);
                    }
                    catch (WorkerException e)
                    {
                        failure = e;
                        continue;
                    }
                    catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
                    {
                        throw new RequestFailedException(RequestFailure.Deadline, $"The request did not end within {options.RequestDeadline.TotalSeconds:0.#} s.");
                    }

                    switch (said)
                    {
                        case DecodeStarted started:
                            bool isFirst = account.Started is null;
                            account.Started = started;
                            if (isFirst) yield return started;
                            break;
                        case DecodeTokens tokens:
                            account.MarkFirstToken();
                            int repeated = Math.Min(given.Count - replayed, tokens.Tokens.Length);
                            ThrowIfDifferent(given, replayed, tokens.Tokens.AsSpan(0, repeated), choice);
                            replayed += repeated;
                            if (repeated == tokens.Tokens.Length) break;
                            int[] fresh = repeated == 0 ? tokens.Tokens : tokens.Tokens[repeated..];
                            given.AddRange(fresh);
                            replayed += fresh.Length;
                            yield return new DecodeTokens(fresh);
                            break;
                        case DecodeFinished finished:
                            account.Prefill = await attempt.PrefillResultAsync();
                            account.Finished = finished;
                            account.CompletionTokens = finished.CompletionTokens;
                            Remember(choice, request, given);
                            yield return finished;
                            yield break;
                    }
                }
            }

            Judge(request, choice, failure, course);
            metrics.CountRetry(failure.Failure.ToString());
        }
    }

    private async Task<WorkerChoice> ChooseAsync(GatewayRequest request, RetryCourse course, CancellationToken client, CancellationToken deadline)
    {
        long since = Stopwatch.GetTimestamp();
        TimeSpan pause = FirstPause;
        try
        {
            await course.PauseAsync(deadline);
            while (true)
            {
                if (chooser.Choose(request, course.Failed, course.RuledOut) is { } choice) return choice;
                if (course.RuledOut.Count > 0) throw new RequestFailedException(RequestFailure.TooLong, course.Last!.Message, course.Last);
                if (Stopwatch.GetElapsedTime(since) >= options.WorkerWait) throw new RequestFailedException(RequestFailure.NoWorker, Absence(request), course.Last);
                await Task.Delay(pause, deadline);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
        catch (OperationCanceledException) when (!client.IsCancellationRequested)
        {
            throw new RequestFailedException(RequestFailure.Deadline, $"The request did not end within {options.RequestDeadline.TotalSeconds:0.#} s.", course.Last);
        }
    }

    private void Judge(GatewayRequest request, WorkerChoice choice, WorkerException failure, RetryCourse course)
    {
        if (failure.Failure == WorkerFailure.Lost)
        {
            foreach (WorkerSeat? seat in (WorkerSeat?[])[choice.Prefill, choice.Decode])
            {
                if (seat?.Name == failure.Worker) pool.ReportLost(seat, failure.Message);
            }
        }

        // Which side of a broken handoff is at fault cannot be told: another pair is better than either.
        string[] blamed = failure.Failure == WorkerFailure.Handoff && choice.Prefill is { } sender ? [sender.Name, choice.Decode.Name] : [failure.Worker];
        if (course.Next(failure, blamed) is { } reason) throw new RequestFailedException(reason, $"{failure.Message} (request {request.RequestId}, {course.Attempts} attempts)", failure);
    }

    private string Absence(GatewayRequest request)
    {
        string needed = request.Mode switch
        {
            RouteMode.Disaggregated => "a prefill and a decode worker",
            RouteMode.Monolithic => "a worker of both phases",
            _ => "a prefill and a decode worker, or one of both phases",
        };
        WorkerSeat[] seats = pool.Seats;
        string known = seats.Length == 0 ? "no worker is known" : string.Join("; ", seats.Select(s => s.IsUp ? $"{s.Name} ({s.Status!.Phases}) is up" : $"{s.Name} is not up: {s.Reason}"));
        return $"No worker can take the request now: it needs {needed}; {known}.";
    }

    private void Remember(WorkerChoice choice, GatewayRequest request, List<int> given)
    {
        if (choice.Prefill is { } prefill) prefixes.Remember(choice.Chain, prefill.Name);
        if (given.Count == 0)
        {
            prefixes.Remember(choice.Chain, choice.Decode.Name);
            return;
        }

        // The next turn of a conversation begins with this prompt and this answer.
        ImmutableArray<PrefixHash> chain = PrefixMemory.Chain(choice.Decode.Status!.Model, choice.Decode.Status.ModelRevision, [.. request.Prompt, .. given]);
        prefixes.Remember(chain, choice.Decode.Name);
    }

    private static void ThrowIfDifferent(List<int> given, int at, ReadOnlySpan<int> repeated, WorkerChoice choice)
    {
        for (int i = 0; i < repeated.Length; i++)
        {
            if (given[at + i] != repeated[i])
                throw new RequestFailedException(RequestFailure.Internal, $"Worker {choice.Decode.Name} replayed token {at + i} as {repeated[i]}; the client has {given[at + i]}. The text cannot be continued.");
        }
    }
}
