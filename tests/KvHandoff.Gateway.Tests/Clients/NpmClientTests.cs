using System.Diagnostics;
using System.Text;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Hosting;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Tests.Api;
using KvHandoff.Gateway.Tests.Hosting;
using KvHandoff.Gateway.Tests.Routing;
using KvHandoff.Gateway.Tests.Workers;
using KvHandoff.Model;
using Xunit.Abstractions;

namespace KvHandoff.Gateway.Tests.Clients;

/// <summary>The clients <c>openai</c> and <c>@cerebras/cerebras_cloud_sdk</c> from npm; left out, with the reason said, where node or the registry is not there.</summary>
[Collection(GatewayTests.Name)]
public sealed class NpmClientTests(GatewayFixture gateway, ITestOutputHelper output)
{
    private const string Key = "a-key-of-the-script";
    private const int LeastNode = 20;

    [Fact]
    public async Task Both_clients_do_all_that_they_do()
    {
        string folder = Directory.CreateTempSubdirectory("kvhandoff-npm-").FullName;
        try
        {
            (int code, string version) = await RunAsync(folder, TimeSpan.FromSeconds(20), "node", "--version");
            if (code != 0 || !int.TryParse(version.Trim().TrimStart('v').Split('.')[0], out int major) || major < LeastNode)
            {
                output.WriteLine($"Left out: node {LeastNode} or later is needed; found: {version.Trim()}");
                return;
            }

            foreach (string file in (string[])["package.json", "clients.mjs"]) File.Copy(Path.Combine(AppContext.BaseDirectory, "Clients", "js", file), Path.Combine(folder, file));
            (code, string installed) = await RunAsync(folder, TimeSpan.FromSeconds(120), "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error");
            if (code != 0)
            {
                output.WriteLine($"Left out: the packages cannot be installed: {installed.Trim()}");
                return;
            }

            await using ScriptedGateway scripted = await ScriptedGateway.StartAsync(new GatewaySettings { Limits = new RateLimits { TokensPerMinute = 6000 } }, [Key + "-openai", Key + "-cerebras"], Worker());
            int[] prompt = ReferenceText.Prompt("short-short");
            (code, string said) = await RunAsync(folder, TimeSpan.FromSeconds(90), "node", "clients.mjs", gateway.Program.Http.BaseAddress!.ToString().TrimEnd('/'), scripted.Address.ToString().TrimEnd('/'), Key, ByteTokenizer.Decode(prompt), gateway.Expected(prompt, 40));
            output.WriteLine(said);
            Assert.True(code == 0, said);
            Assert.Equal(16, said.Split('\n').Count(l => l.StartsWith("ok ", StringComparison.Ordinal)));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    // Does what the prompt says: overdraws the account, breaks in the middle, or answers.
    private static ScriptedWorker Worker()
    {
        var worker = new ScriptedWorker("both-0", Phase.Both);
        worker.OnGenerate = (request, _) => ByteTokenizer.Decode(request.Prompt) switch
        {
            "overdraw" => OverdrawAsync(),
            "break" => ScriptedWorker.BrokenAsync(ScriptedWorker.Answer[..3], worker.Fails(WorkerFailure.Internal)),
            _ => ScriptedWorker.TextAsync(ScriptedWorker.Answer),
        };
        return worker;

        static async IAsyncEnumerable<DecodeEvent> OverdrawAsync()
        {
            await Task.Yield();
            yield return new DecodeStarted(0, 0, 0);
            yield return new DecodeTokens([65]);
            yield return new DecodeFinished("length", 6200, 0.1, 0.1, 0);
        }
    }

    private static async Task<(int Code, string Output)> RunAsync(string folder, TimeSpan limit, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return (-1, e.Message);
        }

        using (process)
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
            using var patience = new CancellationTokenSource(limit);
            try
            {
                await process.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                return (-1, $"{program} did not end within {limit.TotalSeconds} s. {await output}{await errors}");
            }

            return (process.ExitCode, new StringBuilder(await output).Append(await errors).ToString());
        }
    }
}
