using System.Net.Sockets;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Workers;

namespace KvHandoff.Gateway.Tests.Workers;

/// <summary>Requests that are cancelled, come twice, late or not at all end, and leave nothing behind.</summary>
[Collection(WorkerTests.Name)]
public sealed class EndingTests(ReferenceText reference)
{
    [Fact]
    public async Task Cancelling_frees_everything_at_both_workers_at_any_time()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill, o => o with { ChunkTokens = 64 }), decode = await cluster.StartAsync("d", Phase.Decode), both = await cluster.StartAsync("b", Phase.Both);
        var random = new Random(11);
        for (int round = 0; round < 12; round++)
        {
            using var cancel = new CancellationTokenSource();
            int[] prompt = ReferenceText.Passage(300 * round, 600);
            Task[] running = [cluster.HandedAsync(prefill, decode, prompt, 2000, cancellationToken: cancel.Token), Cluster.MonolithicAsync(both, prompt, 2000, cancellationToken: cancel.Token)];
            await Task.Delay(random.Next(0, 400));
            await cancel.CancelAsync();
            foreach (Task task in running)
            {
                Exception? ended = await Record.ExceptionAsync(() => task);
                Assert.True(ended is OperationCanceledException or WorkerException, $"{ended}");
            }
        }

        foreach (Seat seat in new[] { prefill, decode, both }) await seat.IdleAsync();
        int[] after = ReferenceText.Passage(50, 80);
        Assert.Equal(reference.Complete(after, 10), (await cluster.HandedAsync(prefill, decode, after, 10)).Tokens);
    }

    [Fact]
    public async Task A_caller_that_reads_some_and_leaves_frees_the_blocks_at_once()
    {
        await using var cluster = new Cluster(reference);
        Seat both = await cluster.StartAsync("b", Phase.Both);
        for (int round = 0; round < 10; round++)
        {
            var request = new GenerateRequest { RequestId = "leaves", Prompt = ReferenceText.Passage(100 * round, 64), MaxTokens = 7000, Sampling = new SamplingOptions() };
            int heard = 0;
            // No cancellation: the enumeration just ends, and with it the connection.
            await foreach (DecodeEvent _ in both.Remote.GenerateAsync(request, CancellationToken.None))
            {
                if (++heard > 1 + 3 * round) break;
            }
        }

        WorkerStatus status = await both.IdleAsync();
        Assert.Equal(status.CacheTokens, status.FreeTokens);
    }

    [Fact]
    public async Task A_handoff_that_never_comes_ends_with_the_deadline()
    {
        await using var cluster = new Cluster(reference);
        Seat decode = await cluster.StartAsync("d", Phase.Decode);
        (_, DecodeRequest request) = cluster.Request(decode, decode, [1, 2, 3], 5, deadlineMilliseconds: 150);
        WorkerException failure = await Assert.ThrowsAsync<WorkerException>(() => Text.ReadAsync(decode.Remote.DecodeAsync(request, CancellationToken.None)));
        Assert.Equal(WorkerFailure.Handoff, failure.Failure);
        Assert.Contains("150 ms", failure.Message);
        await decode.IdleAsync();
    }

    [Fact]
    public async Task The_handoff_may_come_first_and_each_is_good_for_one_request()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode, o => o with { UnclaimedLifetime = TimeSpan.FromSeconds(1) });
        int[] prompt = ReferenceText.Passage(100, 150), expected = reference.Complete(prompt, 20);
        (PrefillRequest sent, DecodeRequest asked) = cluster.Request(prefill, decode, prompt, 20);
        await prefill.Remote.PrefillAsync(sent, CancellationToken.None);
        Assert.Equal(expected, (await Text.ReadAsync(decode.Remote.DecodeAsync(asked, CancellationToken.None))).Tokens);
        Assert.Equal(WorkerFailure.Handoff, (await Assert.ThrowsAsync<WorkerException>(() => Text.ReadAsync(decode.Remote.DecodeAsync(asked, CancellationToken.None)))).Failure);
        // The receiver has heard of this handoff: the same once more is refused, not landed twice.
        Assert.Equal(WorkerFailure.Handoff, (await Assert.ThrowsAsync<WorkerException>(() => prefill.Remote.PrefillAsync(sent, CancellationToken.None))).Failure);

        // Nobody asks for this one in time.
        (PrefillRequest unclaimed, DecodeRequest late) = cluster.Request(prefill, decode, prompt, 20);
        await prefill.Remote.PrefillAsync(unclaimed, CancellationToken.None);
        await decode.IdleAsync();
        WorkerException gone = await Assert.ThrowsAsync<WorkerException>(() => Text.ReadAsync(decode.Remote.DecodeAsync(late, CancellationToken.None)));
        Assert.Equal(WorkerFailure.Handoff, gone.Failure);
        Assert.Contains("nobody asked", gone.Message);
        await prefill.IdleAsync();
    }

    [Fact]
    public async Task Two_requests_for_one_handoff_are_told_apart()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode);
        int[] prompt = ReferenceText.Passage(100, 90);
        (PrefillRequest sent, DecodeRequest asked) = cluster.Request(prefill, decode, prompt, 15);
        Task<Text> first = Text.ReadAsync(decode.Remote.DecodeAsync(asked, CancellationToken.None));
        while ((await decode.Remote.StatusAsync(CancellationToken.None)).Waiting == 0) await Task.Delay(5);
        Assert.Equal(WorkerFailure.Invalid, (await Assert.ThrowsAsync<WorkerException>(() => Text.ReadAsync(decode.Remote.DecodeAsync(asked, CancellationToken.None)))).Failure);
        await prefill.Remote.PrefillAsync(sent, CancellationToken.None);
        Assert.Equal(reference.Complete(prompt, 15), (await first).Tokens);
    }

    [Fact]
    public async Task Wrong_tickets_callers_and_requests_are_refused()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode);
        (PrefillRequest sent, DecodeRequest asked) = cluster.Request(prefill, decode, [1, 2, 3], 5);
        WorkerException ticket = await Assert.ThrowsAsync<WorkerException>(() => prefill.Remote.PrefillAsync(sent with { HandoffId = Guid.NewGuid() }, CancellationToken.None));
        Assert.Equal(WorkerFailure.Handoff, ticket.Failure);
        Assert.Contains("ticket", ticket.Message);
        await using var stranger = new HttpWorker("d", decode.Server.Address, new WorkerKey(WorkerKey.Create()));
        Assert.Equal(WorkerFailure.Invalid, (await Assert.ThrowsAsync<WorkerException>(() => stranger.StatusAsync(CancellationToken.None))).Failure);
        Assert.Equal(WorkerFailure.Invalid, (await Assert.ThrowsAsync<WorkerException>(() => prefill.Remote.PrefillAsync(sent with { Prompt = [] }, CancellationToken.None))).Failure);
        Assert.Contains("256", (await Assert.ThrowsAsync<WorkerException>(() => prefill.Remote.PrefillAsync(sent with { Prompt = [1, 256] }, CancellationToken.None))).Message);
        Assert.Equal(WorkerFailure.Invalid, (await Assert.ThrowsAsync<WorkerException>(() => Text.ReadAsync(decode.Remote.DecodeAsync(asked with { MaxTokens = 0 }, CancellationToken.None)))).Failure);
        Assert.Equal(WorkerFailure.Invalid, (await Assert.ThrowsAsync<WorkerException>(() => decode.Remote.PrefillAsync(sent, CancellationToken.None))).Failure);
        foreach (Seat seat in new[] { prefill, decode }) await seat.IdleAsync();
    }

    [Fact]
    public async Task A_worker_that_dies_is_lost_to_its_callers_and_a_new_one_takes_its_place()
    {
        await using var cluster = new Cluster(reference);
        Seat prefill = await cluster.StartAsync("p", Phase.Prefill), decode = await cluster.StartAsync("d", Phase.Decode);
        int[] prompt = ReferenceText.Passage(100, 90);
        Task<Text> cut = cluster.HandedAsync(prefill, decode, prompt, 3000);
        while ((await decode.Remote.StatusAsync(CancellationToken.None)).Running == 0) await Task.Delay(5);
        await decode.Server.DisposeAsync();
        Assert.Equal(WorkerFailure.Lost, (await Assert.ThrowsAsync<WorkerException>(() => cut)).Failure);
        Assert.Equal(WorkerFailure.Lost, (await Assert.ThrowsAsync<WorkerException>(() => decode.Remote.StatusAsync(CancellationToken.None))).Failure);
        await decode.Local.DisposeAsync();
        // The prefill worker has a connection to the old one; the new one has the same name.
        (PrefillRequest old, _) = cluster.Request(prefill, decode, prompt, 5, deadlineMilliseconds: 2000);
        Assert.Equal(WorkerFailure.Handoff, (await Assert.ThrowsAsync<WorkerException>(() => prefill.Remote.PrefillAsync(old, CancellationToken.None))).Failure);
        Seat again = await cluster.StartAsync("d", Phase.Decode);
        Assert.Equal(reference.Complete(prompt, 20), (await cluster.HandedAsync(prefill, again, prompt, 20)).Tokens);
        foreach (Seat seat in new[] { prefill, again }) await seat.IdleAsync();
    }

    [Fact]
    public async Task A_silent_worker_counts_as_lost()
    {
        string path = Path.Combine(Path.GetTempPath(), $"kvh-{Guid.NewGuid():n}.sock");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        await using var worker = new HttpWorker("mute", $"unix://{path}", null, silence: TimeSpan.FromMilliseconds(200));
        try
        {
            // It says nothing at all, and then a head without a line after it.
            WorkerException mute = await Assert.ThrowsAsync<WorkerException>(() => worker.StatusAsync(CancellationToken.None));
            Assert.Equal(WorkerFailure.Lost, mute.Failure);
            Task<WorkerStatus> asked = worker.StatusAsync(CancellationToken.None);
            using Socket dropped = await listener.AcceptAsync(), accepted = await listener.AcceptAsync();
            await accepted.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n"u8.ToArray());
            Assert.Equal(WorkerFailure.Lost, (await Assert.ThrowsAsync<WorkerException>(() => asked)).Failure);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
