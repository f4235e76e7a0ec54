namespace KvHandoff.EndToEnd.Tests;

/// <summary>Wrong arguments: exit code 2 and one line with the argument, the value and what is allowed.</summary>
public sealed class BadArgumentTests
{
    public static TheoryData<string[], string, string, string> Wrong => new()
    {
        { ["--codec", "zip"], "--codec", "'zip'", "raw, fp8" },
        { ["handoff", "--codec"], "--codec", "no value", "raw, fp8" },
        { ["--streams", "0"], "--streams", "'0'", "from 1 to 8" },
        { ["--streams", "9"], "--streams", "'9'", "from 1 to 8" },
        { ["--streams", "two"], "--streams", "'two'", "from 1 to 8" },
        { ["--tokens", "-5"], "--tokens", "'-5'", "from 1 to" },
        { ["--tokens", "99999999999999"], "--tokens", "'99999999999999'", "from 1 to" },
        { ["--model", "llama-3.1-405b", "--tokens", "1000000"], "--tokens", "'1000000'", "from 1 to" },
        { ["--model", "gpt"], "--model", "'gpt'", "llama-3.3-70b" },
        { ["--transport", "carrier-pigeon"], "--transport", "'carrier-pigeon'", "tcp, unix, shm, tls" },
        { ["--transport", "tcp,quic"], "--transport", "'tcp,quic'", "tcp, unix, shm, tls, ucx" },
        { ["--transport", "shm,shm"], "--transport", "'shm,shm'", "tcp, unix, shm, tls" },
        { ["handoff", "--transport"], "--transport", "no value", "tcp, unix, shm, tls" },
        { ["--sweep", "--tokens", "64"], "--tokens", "'64'", "--transport" },
        { ["--prompts", "short-short,none"], "--prompts", "'short-short,none'", "long-long" },
        { ["--prompts", "short-short,short-short"], "--prompts", "'short-short,short-short'", "long-long" },
        { ["--completion", "1"], "--completion", "'1'", "from 2 to 1780" },
        { ["--test-fault", "rain"], "--test-fault", "'rain'", "landed-byte" },
        { ["--json", "/"], "--json", "'/'", "path of a file" },
        { ["--output", "/proc/cpuinfo"], "--output", "'/proc/cpuinfo'", "directory" },
        { ["--frobnicate"], "handoff", "'--frobnicate'", "--codec" },
        { ["frobnicate"], "KvHandoff.Bench", "'frobnicate'", "kernels" },
        { ["report"], "--from", "no value", "path of a file" },
        { ["report", "--from", "/nowhere/summary.json"], "--from", "'/nowhere/summary.json'", "file that exists" },
        { ["report", "--from", "/proc/version"], "--from", "'/proc/version'", "summary.json" },
        { ["kernels", "--quick", "--filter", "teapot"], "--filter", "'teapot'", "crc-32c" },
        { ["kernels", "--quick", "--filter"], "--filter", "no value", "part of a kernel's name" },
        { ["kernels", "--quick", "--job", "dry"], "kernels", "'--job'", "--filter" },
        { ["kernels", "--json", "kernels.json"], "--json", "without --quick", "--quick" },
        { ["accuracy", "--windows", "0"], "--windows", "'0'", "from 1 to 32" },
        { ["accuracy", "--markdown", "/"], "--markdown", "'/'", "path of a file" },
        { ["accuracy", "--codec", "raw"], "accuracy", "'--codec'", "--windows" },
        { ["worker", "spy"], "worker", "'spy'", "prefill" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void One_line_names_the_argument_the_value_and_what_is_allowed(string[] arguments, string argument, string value, string allowed)
    {
        (int code, string output, string errors) = BenchProgram.Run(arguments);
        Assert.Equal(2, code);
        Assert.Empty(output);
        string line = Assert.Single(errors.TrimEnd().Split('\n'));
        Assert.Contains(argument, line, StringComparison.Ordinal);
        Assert.Contains(value, line, StringComparison.Ordinal);
        Assert.Contains("llowed", line, StringComparison.Ordinal);
        Assert.Contains(allowed, line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--help", "handoff", "report", "kernels", "accuracy")]
    [InlineData("kernels --help", "--quick", "BenchmarkDotNet", "Examples")]
    [InlineData("accuracy --help", "--markdown", "Exit code", "Examples")]
    [InlineData("handoff --help", "--codec", "--sweep", "shm", "Examples", "Exit code")]
    public void Help_teaches(string arguments, params string[] expected)
    {
        (int code, string output, _) = BenchProgram.Run(arguments.Split(' '));
        Assert.Equal(0, code);
        Assert.All(expected, text => Assert.Contains(text, output, StringComparison.Ordinal));
        Assert.DoesNotContain("--test-fault", output, StringComparison.Ordinal);
        Assert.DoesNotContain("\n  worker", output, StringComparison.Ordinal);
    }
}
