using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Tests.Workers;

namespace KvHandoff.Gateway.Tests.Hosting;

/// <summary>How the program starts, ends and refuses.</summary>
public sealed class ProgramTests
{
    [Theory]
    [InlineData("--role", "'robot'", "--role", "robot")]
    [InlineData("--listen", "'ftp://x'", "--listen", "ftp://x")]
    [InlineData("--prefill-workers", "'65'", "--prefill-workers", "65")]
    [InlineData("--transport", "'pigeon'", "--transport", "pigeon")]
    [InlineData("--model", "'/no/such/directory'", "--model", "/no/such/directory")]
    [InlineData("--directory", "'zookeeper://x'", "--directory", "zookeeper://x")]
    [InlineData("--listen", "--api-keys", "--listen", "http://0.0.0.0:0")]
    [InlineData("--decode-workers '0'", "TokenStage", "--decode-workers", "0", "--monolithic-workers", "0")]
    [InlineData("--nonsense", "--listen", "--nonsense")]
    [InlineData("--role gateway", "--workers", "--role", "gateway")]
    [InlineData("KVHANDOFF_TICKET_KEY", "openssl", "--role", "gateway", "--workers", "unix:///tmp/none")]
    public async Task Wrong_arguments_are_one_line_that_teaches_and_exit_code_2(string named, string allowed, params string[] arguments)
    {
        await using GatewayProgram program = GatewayProgram.Start(arguments);
        Assert.Equal(2, await program.WaitForExitAsync());
        string line = Assert.Single(program.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(named, line, StringComparison.Ordinal);
        Assert.Contains(allowed, line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_interrupt_lets_requests_end_and_then_ends_all_processes()
    {
        await using GatewayProgram program = await GatewayProgram.ServeAsync(["--monolithic-workers", "0", "--threads", "1", "--transport", "unix"]);
        Assert.Contains("curl -N http://127.0.0.1:", program.Output, StringComparison.Ordinal);
        int[] workers = [program.WorkerId("prefill-0"), program.WorkerId("decode-0")];
        using var reference = new ReferenceText();
        int[] prompt = ReferenceText.Prompt("short-short");
        int interrupted = 0;
        StreamedText text = await GatewayFixture.StreamAsync(program.Http, prompt, 200, null, chunks =>
        {
            if (chunks == 2 && Interlocked.Exchange(ref interrupted, 1) == 0) GatewayProgram.Signal(program.Id, "INT");
        });
        Assert.Equal(KvHandoff.Model.ByteTokenizer.Decode(reference.Complete(prompt, 200)), text.Text);
        Assert.True(text.IsDone);
        Assert.Equal(0, await program.WaitForExitAsync());
        Assert.All(workers, id => Assert.False(IsRunning(id), $"Worker process {id} outlived its gateway."));
    }

    [Fact]
    public async Task The_warm_up_runs_over_every_route_and_is_counted_nowhere()
    {
        await using GatewayProgram program = await GatewayProgram.ServeWarmAsync(["--threads", "1", "--warm-up", "1"], (ApiKeys.Variable, "a-key-of-somebody"));
        string metrics = await program.Http.GetStringAsync("/metrics");
        Assert.DoesNotContain("path=\"/v1/completions\"", metrics, StringComparison.Ordinal);
        Assert.Contains("kvhandoff_gateway_handoffs_total 0", metrics, StringComparison.Ordinal);
        // Two routes, one request and eight at once over each.
        int requests = int.Parse(Regex.Match(program.Errors, @"warmed up with (\d+) requests").Groups[1].Value, CultureInfo.InvariantCulture);
        Assert.InRange(requests, 18, int.MaxValue);
        Assert.Equal(0, requests % 9);
        using HttpResponseMessage refused = await program.Http.GetAsync("/v1/models");
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
    }

    [Fact]
    public async Task Workers_end_with_a_gateway_that_was_killed()
    {
        // It leaves its sockets behind, here.
        string folder = Directory.CreateTempSubdirectory("kvhandoff-test-").FullName;
        int[] workers;
        await using (GatewayProgram program = await GatewayProgram.ServeAsync(["--prefill-workers", "0", "--decode-workers", "0", "--threads", "1"], ("TMPDIR", folder)))
        {
            workers = [program.WorkerId("both-0")];
            Assert.All(workers, id => Assert.True(IsRunning(id)));
            GatewayProgram.Signal(program.Id, "KILL");
            await program.WaitForExitAsync();
        }

        for (int i = 0; workers.Any(IsRunning); i++)
        {
            Assert.True(i < 400, "A worker outlived its gateway.");
            await Task.Delay(25);
        }

        Directory.Delete(folder, recursive: true);
    }

    // A process that has ended but was not waited for is no longer running either.
    private static bool IsRunning(int id)
    {
        try
        {
            string state = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{id}/stat"));
            return state[state.LastIndexOf(')') + 2] is not ('Z' or 'X');
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException or IOException)
        {
            return false;
        }
    }
}
