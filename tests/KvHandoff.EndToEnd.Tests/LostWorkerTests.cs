using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>A worker killed in mid-transfer, an interrupted and a killed program: the job ends with a message, and nobody stays behind.</summary>
public sealed partial class LostWorkerTests
{
    [Theory]
    [InlineData("prefill", 1000)]
    [InlineData("decode", 1000)]
    // While the processes still start and connect: whichever of them notices first, the dead one is named.
    [InlineData("decode", 100)]
    [InlineData("decode", 400)]
    public void A_worker_killed_in_mid_transfer_ends_the_job_with_1(string victim, int afterMilliseconds)
    {
        using var scratch = new ScratchDirectory();
        using BenchProgram program = StartSlowTransfer(scratch);
        (int prefill, int decode) = Workers(program);
        Thread.Sleep(afterMilliseconds);
        Kill(victim == "prefill" ? prefill : decode);
        int code = program.WaitForExit();
        Assert.True(code == 1, $"Exit code {code}. {program.Output}{program.Errors}");
        Assert.Contains($"FAILED: The {victim} process ({(victim == "prefill" ? prefill : decode)}) ended with exit code 137", program.Errors, StringComparison.Ordinal);
        AssertGone(prefill, decode);
    }

    [Fact]
    public void An_interrupt_ends_the_job_and_its_workers()
    {
        using var scratch = new ScratchDirectory();
        using BenchProgram program = StartSlowTransfer(scratch);
        (int prefill, int decode) = Workers(program);
        Thread.Sleep(500);
        program.Interrupt();
        int code = program.WaitForExit();
        Assert.True(code == 130, $"Exit code {code}. {program.Output}{program.Errors}");
        Assert.Contains("Interrupted", program.Errors, StringComparison.Ordinal);
        AssertGone(prefill, decode);
        Assert.False(File.Exists(scratch.File("summary.json")));
    }

    [Fact]
    public void Workers_do_not_outlive_a_killed_program()
    {
        using var scratch = new ScratchDirectory();
        using BenchProgram program = StartSlowTransfer(scratch);
        (int prefill, int decode) = Workers(program);
        Kill(program.Id);
        AssertGone(prefill, decode);
    }

    // A second per layer: 80 seconds in which the transfer is on its way.
    private static BenchProgram StartSlowTransfer(ScratchDirectory scratch) =>
        BenchProgram.Start("--model", "llama-3.3-70b", "--tokens", "256", "--codec", "raw", "--skip-stages", "--test-layer-delay-ms", "1000", "--output", scratch.FullName);

    private static (int Prefill, int Decode) Workers(BenchProgram program)
    {
        program.WaitForOutput("decode process ");
        Match match = WorkerIds().Match(program.Output);
        return (int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture), int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));
    }

    private static void Kill(int id)
    {
        using Process process = Process.GetProcessById(id);
        process.Kill();
    }

    private static void AssertGone(params int[] ids)
    {
        long end = Environment.TickCount64 + 15_000;
        while (ids.Any(IsAlive))
        {
            Assert.True(Environment.TickCount64 < end, $"Of the processes {string.Join(", ", ids)} some are still alive.");
            Thread.Sleep(50);
        }
    }

    // A zombie that its parent has not collected yet has ended as well.
    private static bool IsAlive(int id)
    {
        try
        {
            string status = File.ReadAllText($"/proc/{id}/stat");
            return status[(status.LastIndexOf(')') + 2)] != 'Z';
        }
        catch (IOException)
        {
            return false;
        }
    }

    [GeneratedRegex(@"prefill process (\d+), decode process (\d+)")]
    private static partial Regex WorkerIds();
}
