using KvHandoff.Gateway.Tests.Workers;

namespace KvHandoff.Gateway.Tests.Hosting;

/// <summary>Worker processes killed in the middle of their work.</summary>
[Collection(GatewayTests.Name)]
public sealed class LostWorkerTests(GatewayFixture gateway)
{
    [Theory]
    [InlineData("decode-0", "disaggregated")]
    [InlineData("decode-1", null)]
    [InlineData("prefill-0", "disaggregated")]
    public async Task A_killed_worker_loses_no_request_and_is_started_again(string worker, string? route)
    {
        const int streams = 24;
        int tokens = worker.StartsWith("decode", StringComparison.Ordinal) ? 120 : 10;
        await gateway.Program.IdleAsync(GatewayFixture.Workers);
        (int[] Prompt, string Expected)[] cases = [.. Enumerable.Range(0, streams).Select(i => ReferenceText.Passage(i * 300, 200 + i)).Select(prompt => (prompt, gateway.Expected(prompt, tokens)))];
        double before = await RetriesAsync();
        int victim = gateway.Program.WorkerId(worker), killed = 0;
        Task<StreamedText>[] running = [.. cases.Select(c => GatewayFixture.StreamAsync(gateway.Program.Http, c.Prompt, tokens, route, chunks =>
        {
            // In the middle of texts for a decode worker; while others still wait for their prompts for a prefill worker.
            if (chunks == 2 && Interlocked.Exchange(ref killed, 1) == 0) GatewayProgram.Signal(victim, "KILL");
        }))];
        StreamedText[] texts = await Task.WhenAll(running).WaitAsync(TimeSpan.FromSeconds(100));
        Assert.Equal(1, killed);
        int whole = 0;
        for (int i = 0; i < streams; i++)
        {
            if (texts[i].IsDone)
            {
                Assert.Equal(cases[i].Expected, texts[i].Text);
                whole++;
                continue;
            }

            // Given up for a reason, and not a wrong letter until then.
            Assert.True(texts[i].Error is not null, $"Stream {i} was cut off without a word after {texts[i].Chunks} chunks.");
            Assert.StartsWith(texts[i].Text, cases[i].Expected, StringComparison.Ordinal);
        }

        Assert.True(whole == streams, $"{whole} of {streams} were completed: {texts.FirstOrDefault(t => t.Error is not null)?.Error}\n{gateway.Program.Errors}");
        if (worker.StartsWith("decode", StringComparison.Ordinal)) Assert.True(await RetriesAsync() > before, "Nothing was retried: the worker did nothing when it was killed.");
        await gateway.Program.IdleAsync(GatewayFixture.Workers);
        Assert.NotEqual(victim, gateway.Program.WorkerId(worker));
        StreamedText after = await GatewayFixture.StreamAsync(gateway.Program.Http, cases[0].Prompt, tokens, route);
        Assert.Equal(cases[0].Expected, after.Text);
    }

    private async Task<double> RetriesAsync()
    {
        string page = await gateway.Program.Http.GetStringAsync("/metrics");
        return page.Split('\n').Where(l => l.StartsWith("kvhandoff_gateway_retries_total{", StringComparison.Ordinal)).Sum(l => double.Parse(l[(l.LastIndexOf(' ') + 1)..], System.Globalization.CultureInfo.InvariantCulture));
    }
}
