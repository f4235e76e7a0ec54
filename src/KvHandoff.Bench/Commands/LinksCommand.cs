using System.CommandLine;
using KvHandoff.Bench.Links;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Commands;

/// <summary>The <c>links</c> command: what lossless coding gains or loses at which link rate.</summary>
internal static class LinksCommand
{
    internal static Command Create()
    {
        Option<string?> json = ArgumentRules.File("--json", "Also write the results to this file.");
        Option<string?> output = ArgumentRules.Folder("--output", "Also write links.json to this directory.");
        var quiet = new Option<bool>("--quiet") { Description = "Print nothing but failures." };
        var command = new Command("links", """
            At which link rate does lossless coding pay on this machine? 1 GiB of BF16 rows raw, as ew3, and as codec auto chooses, over links paced to 1,
            10, 25 and 100 Gb/s. Encoding and decoding are real and timed, the link is a virtual clock. Takes about 20 seconds.
            Exit code: 0 success, 1 auto lost more than 2 % to raw, 2 bad arguments, 130 interrupted.
            Example:
              links --json links.json
            """)
        {
            json, output, quiet,
        };
        command.SetAction((result, cancellationToken) => RunAsync(result.GetValue(json), result.GetValue(output), result.GetValue(quiet), cancellationToken));
        return command;
    }

    private static Task<int> RunAsync(string? json, string? output, bool quiet, CancellationToken cancellationToken) => MeasuringJob.RunAsync(quiet,
        display => Task.Run(() => new LinkRun(display).Run(cancellationToken), cancellationToken),
        summary => [(json, summary.ToJson()), (MeasuringJob.In(output, "links.json"), summary.ToJson())]);
}
