using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Metrics;
using KvHandoff.Gateway.Routing;
using KvHandoff.Session;

namespace KvHandoff.Gateway.Tests.Routing;

public sealed class DispatcherTests : IAsyncDisposable
{
    private static readonly RoutingOptions Quick = new() { WorkerWait = TimeSpan.FromMilliseconds(300), BusyWait = TimeSpan.FromMilliseconds(300), StallLimit = TimeSpan.FromMilliseconds(300), HandoffDeadline = TimeSpan.FromSeconds(20), RequestDeadline = TimeSpan.FromSeconds(40) };

    private readonly PrefixMemory _prefixes = new(1000);
    private readonly WorkerPool _pool;
    private readonly ScriptedWorker _prefillA = new("prefill-a", Phase.Prefill), _prefillB = new("prefill-b", Phase.Prefill), _decodeA = new("decode-a", Phase.Decode), _decodeB = new("decode-b", Phase.Decode), _both = new("both", Phase.Both);

    public DispatcherTests() => _pool = new WorkerPool(_prefixes, TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(5));

    [Fact]
    public async Task The_decode_worker_is_asked_first_with_the_same_handoff_and_a_ticket_for_both()
    {
        var order = new List<string>();
        _decodeA.OnDecode = (_, _) =>
        {
            order.Add("decode");
            return ScriptedWorker.TextAsync(ScriptedWorker.Answer);
        };
        _prefillA.OnPrefill = (_, _) =>
        {
            order.Add("prefill");
            return Task.FromResult(ScriptedWorker.Done());
        };
        (int[] tokens, RequestAccount account) = await RunAsync(Request(), Quick, _prefillA, _decodeA);
        Assert.Equal(ScriptedWorker.Answer, tokens);
        Assert.Equal(["decode", "prefill"], order);
        PrefillRequest prefill = _prefillA.Prefills.Single();
        Assert.Equal(_decodeA.Decodes.Single().HandoffId, prefill.HandoffId);
        Assert.True(HandoffTicket.TryParse(prefill.Ticket, out HandoffTicket? ticket, out _));
        Assert.Equal(("decode-a", "prefill-a", prefill.HandoffId), (ticket!.Audience, ticket.Sender, ticket.HandoffId));
        Assert.True(ticket.MaxKvBytes >= prefill.Prompt.Length * _decodeA.Status.KvBytesPerToken);
        Assert.Equal(1000, account.Prefill!.KvBytes);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(19)]
    public async Task A_lost_decode_worker_is_replayed_elsewhere_and_no_token_comes_twice(int before)
    {
        _decodeA.OnDecode = (_, _) =>
        {
            _decodeA.StatusFailure = _decodeA.Fails(WorkerFailure.Lost);
            return ScriptedWorker.BrokenAsync(ScriptedWorker.Answer[..before], _decodeA.Fails(WorkerFailure.Lost), isStarted: before > 0);
        };
        _decodeB.OnDecode = (_, _) => ScriptedWorker.TextAsync(ScriptedWorker.Answer, piece: 3);
        _decodeB.Status = _decodeB.Status with { Running = 5 };
        (int[] tokens, RequestAccount account) = await RunAsync(Request(), Quick, _prefillA, _decodeA, _decodeB);
        Assert.Equal(ScriptedWorker.Answer, tokens);
        Assert.Equal(("decode-b", 2), (account.DecodeWorker, account.Attempts));
        Assert.NotEqual(_decodeA.Decodes.Single().HandoffId, _decodeB.Decodes.Single().HandoffId);
    }

    [Fact]
    public async Task A_lost_prefill_worker_is_replaced_and_the_waiting_decode_is_cancelled()
    {
        _decodeA.OnDecode = (_, cancel) => _decodeA.Decodes.Count == 1 ? NeverAsync(cancel) : ScriptedWorker.TextAsync(ScriptedWorker.Answer);
        _prefillA.OnPrefill = (_, _) =>
        {
            _prefillA.StatusFailure = _prefillA.Fails(WorkerFailure.Lost);
            return Task.FromException<PrefillResult>(_prefillA.Fails(WorkerFailure.Lost));
        };
        (int[] tokens, RequestAccount account) = await RunAsync(Request(), Quick, _prefillA, _decodeA, _prefillB);
        Assert.Equal(ScriptedWorker.Answer, tokens);
        Assert.Equal("prefill-b", account.PrefillWorker);
        Assert.Equal(0, _decodeA.Open);
    }

    [Fact]
    public async Task The_receivers_verdict_counts_where_the_sender_never_heard_it()
    {
        _prefillA.OnPrefill = (_, _) => Task.FromException<PrefillResult>(_prefillA.Fails(WorkerFailure.Lost));
        _decodeA.OnDecode = (_, _) => LateAsync();
        (int[] tokens, RequestAccount account) = await RunAsync(Request(), Quick, _prefillA, _decodeA);
        Assert.Equal(ScriptedWorker.Answer, tokens);
        Assert.Equal(1, account.Attempts);
        Assert.Null(account.Prefill);

        static async IAsyncEnumerable<DecodeEvent> LateAsync()
        {
            await Task.Delay(50);
            await foreach (DecodeEvent said in ScriptedWorker.TextAsync(ScriptedWorker.Answer)) yield return said;
        }
    }

    [Fact]
    public async Task A_worker_that_falls_silent_counts_as_lost()
    {
        _decodeA.OnDecode = (_, cancel) => ScriptedWorker.SilentAsync(ScriptedWorker.Answer[..4], cancel);
        _decodeB.Status = _decodeB.Status with { Running = 5 };
        (int[] tokens, RequestAccount account) = await RunAsync(Request(), Quick, _prefillA, _decodeA, _decodeB);
        Assert.Equal(ScriptedWorker.Answer, tokens);
        Assert.Equal("decode-b", account.DecodeWorker);
    }

    [Fact]
    public async Task A_replay_that_differs_is_an_error_and_never_a_mixed_text()
    {
        int[] other = [.. ScriptedWorker.Answer];
        other[3]++;
        _decodeA.OnDecode = (_, _) => ScriptedWorker.BrokenAsync(ScriptedWorker.Answer[..6], _decodeA.Fails(WorkerFailure.Internal));
        _decodeB.OnDecode = (_, _) => ScriptedWorker.TextAsync(other);
        _decodeB.Status = _decodeB.Status with { Running = 5 };
        var e = await Assert.ThrowsAsync<RequestFailedException>(() => RunAsync(Request(), Quick, _prefillA, _decodeA, _decodeB));
        Assert.Equal(RequestFailure.Internal, e.Failure);
        Assert.Contains("token 3", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_full_worker_is_left_for_another()
    {
        _decodeA.OnDecode = (_, _) => ScriptedWorker.BrokenAsync([], _decodeA.Fails(WorkerFailure.Busy), isStarted: false);
        _prefillA.OnPrefill = async (_, cancel) =>
        {
            await Task.Delay(_decodeB.Decodes.IsEmpty ? Timeout.Infinite : 1, cancel);
            return ScriptedWorker.Done();
        };
        _decodeB.Status = _decodeB.Status with { Running = 5 };
        (_, RequestAccount account) = await RunAsync(Request(), Quick, _prefillA, _decodeA, _decodeB);
        Assert.Equal("decode-b", account.DecodeWorker);
    }

    [Theory]
    [InlineData((int)WorkerFailure.Busy, (int)RequestFailure.Busy)]
    [InlineData((int)WorkerFailure.TooLong, (int)RequestFailure.TooLong)]
    [InlineData((int)WorkerFailure.Invalid, (int)RequestFailure.Invalid)]
    [InlineData((int)WorkerFailure.Handoff, (int)RequestFailure.Lost)]
    [InlineData((int)WorkerFailure.Internal, (int)RequestFailure.Internal)]
    public async Task What_fails_everywhere_ends_with_its_reason(int failure, int expected)
    {
        foreach (ScriptedWorker decode in (ScriptedWorker[])[_decodeA, _decodeB]) decode.OnDecode = (_, _) => ScriptedWorker.BrokenAsync([], decode.Fails((WorkerFailure)failure), isStarted: false);
        foreach (ScriptedWorker prefill in (ScriptedWorker[])[_prefillA, _prefillB]) prefill.OnPrefill = NeverPrefillAsync;
        var e = await Assert.ThrowsAsync<RequestFailedException>(() => RunAsync(Request(), Quick, _prefillA, _prefillB, _decodeA, _decodeB));
        Assert.Equal((RequestFailure)expected, e.Failure);
        Assert.All([_prefillA, _prefillB, _decodeA, _decodeB], w => Assert.Equal(0, w.Open));
    }

    [Fact]
    public async Task Without_workers_the_reason_names_what_is_missing()
    {
        var e = await Assert.ThrowsAsync<RequestFailedException>(() => RunAsync(Request() with { Mode = RouteMode.Disaggregated }, Quick, _prefillA, _both));
        Assert.Equal(RequestFailure.NoWorker, e.Failure);
        Assert.Contains("a prefill and a decode worker", e.Message, StringComparison.Ordinal);
        Assert.Contains("both (Both) is up", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_a_route_is_not_whole_the_other_serves_unless_one_was_asked_for()
    {
        (_, RequestAccount account) = await RunAsync(Request(), Quick, _prefillA, _both);
        Assert.Equal(("monolithic", "both"), (account.Route, account.DecodeWorker));
        Assert.Empty(_prefillA.Prefills);
    }

    [Fact]
    public async Task The_deadline_ends_what_does_not_end_itself()
    {
        _both.OnGenerate = (_, cancel) => NeverAsync(cancel);
        var e = await Assert.ThrowsAsync<RequestFailedException>(() => RunAsync(Request(), Quick with { RequestDeadline = TimeSpan.FromMilliseconds(200) }, _both));
        Assert.Equal(RequestFailure.Deadline, e.Failure);
        Assert.Equal(0, _both.Open);
    }

    [Fact]
    public async Task A_client_that_leaves_cancels_both_workers()
    {
        _decodeA.OnDecode = (_, cancel) => ScriptedWorker.SilentAsync(ScriptedWorker.Answer[..2], cancel);
        _prefillA.OnPrefill = NeverPrefillAsync;
        using var left = new CancellationTokenSource();
        Dispatcher dispatcher = await DispatcherAsync(Quick with { StallLimit = TimeSpan.FromMinutes(1) }, _prefillA, _decodeA);
        var got = new List<int>();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (DecodeEvent said in dispatcher.RunAsync(Request(), new RequestAccount(5), left.Token))
            {
                if (said is DecodeTokens tokens) got.AddRange(tokens.Tokens);
                if (got.Count == 2) await left.CancelAsync();
            }
        });
        Assert.Equal((0, 0), (_prefillA.Open, _decodeA.Open));
        Assert.All(_pool.Seats, s => Assert.Equal((0, 0), (s.Sequences, s.PromptTokensUnderWay)));
        Assert.All(_pool.Seats, s => Assert.True(s.IsUp));
    }

    public ValueTask DisposeAsync() => _pool.DisposeAsync();

    private static GatewayRequest Request() => new() { RequestId = "r", Prompt = [1, 2, 3, 4, 5], MaxTokens = 64, Sampling = new SamplingOptions() };

    private static async Task<PrefillResult> NeverPrefillAsync(PrefillRequest request, CancellationToken cancellationToken)
    {
        await Task.Delay(Timeout.Infinite, cancellationToken);
        return ScriptedWorker.Done();
    }

    private static async IAsyncEnumerable<DecodeEvent> NeverAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.Delay(Timeout.Infinite, cancellationToken);
        yield break;
    }

    private async Task<Dispatcher> DispatcherAsync(RoutingOptions options, params ScriptedWorker[] workers)
    {
        foreach (ScriptedWorker worker in workers) _pool.Add(worker, "unix:///" + worker.Name);
        while (_pool.Seats.Any(s => !s.IsUp)) await Task.Delay(5);
        return new Dispatcher(_pool, new WorkerChooser(_pool, _prefixes), _prefixes, new TicketIssuer(new TicketKeyRing(1, new byte[32])), options, new GatewayMetrics());
    }

    private async Task<(int[] Tokens, RequestAccount Account)> RunAsync(GatewayRequest request, RoutingOptions options, params ScriptedWorker[] workers)
    {
        Dispatcher dispatcher = await DispatcherAsync(options, workers);
        var account = new RequestAccount(request.Prompt.Length);
        var tokens = new List<int>();
        int started = 0;
        await foreach (DecodeEvent said in dispatcher.RunAsync(request, account, CancellationToken.None))
        {
            if (said is DecodeStarted) started++;
            if (said is DecodeTokens some) tokens.AddRange(some.Tokens);
        }

        Assert.Equal(1, started);
        return ([.. tokens], account);
    }
}
