using System.ComponentModel;
using System.Diagnostics;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>What a C compiler of this machine makes of UCX's header.</summary>
internal static class UcxHeaders
{
    private static readonly Lazy<string?> Probed = new(Probe);

    /// <summary>Why there is nothing to ask; null when there is.</summary>
    internal static string? Missing => Probed.Value;

    /// <summary>The values of integer expressions.</summary>
    internal static string[] Evaluate(IEnumerable<string> expressions)
    {
        DirectoryInfo scratch = Directory.CreateTempSubdirectory("kvhandoff-ucx-");
        try
        {
            string source = Path.Combine(scratch.FullName, "values.c"), program = Path.Combine(scratch.FullName, "values");
            File.WriteAllText(source, $$"""
                #include <stddef.h>
                #include <stdio.h>
                #include <ucp/api/ucp.h>
                int main(void) {
                {{string.Join('\n', expressions.Select(e => $"  printf(\"%lld\\n\", (long long)({e}));"))}}
                  return 0;
                }
                """);
            (int code, _, string errors) = Run("cc", "-o", program, source);
            if (code != 0) throw new InvalidOperationException($"cc ended with {code}: {errors}");
            return Run(program).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
        finally
        {
            scratch.Delete(recursive: true);
        }
    }

    private static string? Probe()
    {
        try
        {
            return Evaluate(["UCP_API_MAJOR"]) is ["1"] ? null : "the installed UCX header is of another major version";
        }
        catch (Exception e) when (e is Win32Exception or InvalidOperationException)
        {
            return $"no C compiler (cc) with UCX's header (package libucx-dev): {e.Message}";
        }
    }

    private static (int ExitCode, string Output, string Errors) Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, errors.Result);
    }
}

/// <summary>A test that asks UCX's header: skipped, with the reason, where there is none.</summary>
internal sealed class UcxHeadersFactAttribute : FactAttribute
{
    public UcxHeadersFactAttribute() => Skip = UcxHeaders.Missing;
}
