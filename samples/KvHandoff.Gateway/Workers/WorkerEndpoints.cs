using System.Text.Json;
using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Workers;

/// <summary>What a worker answers.</summary>
internal static class WorkerEndpoints
{
    private const int MaxPeers = 1024;

    public static void Map(WebApplication app, IWorker worker)
    {
        app.MapGet(WorkerWire.Status, context => AnswerAsync(context, worker, async () => await context.Response.WriteAsJsonAsync(await worker.StatusAsync(context.RequestAborted), WorkerWire.Json)));
        app.MapPost(WorkerWire.Peers, context => AnswerAsync(context, worker, async () =>
        {
            WorkerPeer[] peers = await ReadAsync<WorkerPeer[]>(context, worker);
            if (peers.Length > MaxPeers) throw new WorkerException(WorkerFailure.Invalid, worker.Name, $"{peers.Length} peers were given; allowed: {MaxPeers}.");
            await worker.SetPeersAsync(peers, context.RequestAborted);
        }));
        app.MapPost(WorkerWire.Prefill, context => AnswerAsync(context, worker, async () => await PrefillAsync(context, worker, await ReadAsync<PrefillRequest>(context, worker))));
        app.MapPost(WorkerWire.Decode, context => AnswerAsync(context, worker, async () =>
        {
            DecodeRequest request = await ReadAsync<DecodeRequest>(context, worker);
            await StreamAsync(context, worker, cancellationToken => worker.DecodeAsync(request, cancellationToken));
        }));
        app.MapPost(WorkerWire.Generate, context => AnswerAsync(context, worker, async () =>
        {
            GenerateRequest request = await ReadAsync<GenerateRequest>(context, worker);
            await StreamAsync(context, worker, cancellationToken => worker.GenerateAsync(request, cancellationToken));
        }));
    }

    private static async Task<T> ReadAsync<T>(HttpContext context, IWorker worker)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync<T>(context.Request.Body, WorkerWire.Json, context.RequestAborted)
                ?? throw new WorkerException(WorkerFailure.Invalid, worker.Name, "the request is null.");
        }
        catch (Exception e) when (e is JsonException or BadHttpRequestException or NotSupportedException)
        {
            throw new WorkerException(WorkerFailure.Invalid, worker.Name, $"the request cannot be read: {e.Message}", e);
        }
    }

    // What fails before the answer has begun gets a status code; what fails later, the last line.
    private static async Task AnswerAsync(HttpContext context, IWorker worker, Func<Task> answer)
    {
        try
        {
            await answer();
        }
        catch (OperationCanceledException)
        {
            context.Abort();
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            DecodeFailed failed = Describe(e, worker);
            context.Response.StatusCode = WorkerWire.CodeOf(failed.Failure);
            await context.Response.WriteAsJsonAsync(failed, WorkerWire.Json);
        }
        catch (IOException)
        {
            // The caller is gone; the work was cancelled with it.
            context.Abort();
        }
    }

    // The work is given a token of its own: a write may find the reader gone before the server says so, or without its ever saying so.
    private static async Task PrefillAsync(HttpContext context, IWorker worker, PrefillRequest request)
    {
        using LineWriter lines = Begin(context);
        using var work = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        Task<PrefillResult> result = worker.PrefillAsync(request, work.Token);
        try
        {
            await BeatUntilAsync(result, lines, context.RequestAborted);
            lines.Write(new PrefillReply(await result, null));
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            lines.Write(new PrefillReply(null, Describe(e, worker)));
        }
        finally
        {
            await EndAsync(work, result);
        }

        await lines.FlushAsync(context.RequestAborted);
    }

    private static async Task StreamAsync(HttpContext context, IWorker worker, Func<CancellationToken, IAsyncEnumerable<DecodeEvent>> begin)
    {
        using LineWriter lines = Begin(context);
        using var work = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        IAsyncEnumerator<DecodeEvent> events = begin(work.Token).GetAsyncEnumerator(work.Token);
        Task<bool> step = Task.FromResult(true);
        try
        {
            // The head leaves at once: the caller knows that somebody works on it.
            await lines.FlushAsync(context.RequestAborted);
            while (true)
            {
                step = events.MoveNextAsync().AsTask();
                // What is there already leaves with what comes next.
                if (!step.IsCompleted)
                {
                    await lines.FlushAsync(context.RequestAborted);
                    await BeatUntilAsync(step, lines, context.RequestAborted);
                }

                if (!await step) break;
                lines.Write(events.Current);
            }
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            lines.Write<DecodeEvent>(Describe(e, worker));
        }
        finally
        {
            await EndAsync(work, step);
            await events.DisposeAsync();
        }

        await lines.FlushAsync(context.RequestAborted);
    }

    // The work ends before its answer does, and an iterator is disposed only between its steps.
    private static async Task EndAsync(CancellationTokenSource work, Task pending)
    {
        await work.CancelAsync();
        await pending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private static LineWriter Begin(HttpContext context)
    {
        context.Response.ContentType = WorkerWire.LinesType;
        return new LineWriter(context.Response.BodyWriter);
    }

    private static async Task BeatUntilAsync(Task work, LineWriter lines, CancellationToken cancellationToken)
    {
        while (!work.IsCompleted)
        {
            try
            {
                await work.WaitAsync(WorkerWire.Heartbeat, CancellationToken.None);
            }
            catch (TimeoutException) when (!work.IsCompleted)
            {
                lines.Beat();
                await lines.FlushAsync(cancellationToken);
            }
            catch when (work.IsCompleted)
            {
                // Whoever awaits the work hears of it.
                return;
            }
        }
    }

    private static DecodeFailed Describe(Exception e, IWorker worker) =>
        e is WorkerException failure ? new DecodeFailed(failure.Failure, Bare(failure)) : new DecodeFailed(WorkerFailure.Internal, $"{e.GetType().Name}: {e.Message}");

    // The caller's side puts the worker's name in front again.
    private static string Bare(WorkerException failure) =>
        failure.Message.StartsWith($"Worker {failure.Worker}: ", StringComparison.Ordinal) ? failure.Message[$"Worker {failure.Worker}: ".Length..] : failure.Message;
}
