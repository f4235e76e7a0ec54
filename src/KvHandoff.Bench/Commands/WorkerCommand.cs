using System.CommandLine;
using KvHandoff.Bench.Workers;

namespace KvHandoff.Bench.Commands;

/// <summary>The hidden <c>worker</c> command, in which this program starts itself.</summary>
internal static class WorkerCommand
{
    internal static Command Create()
    {
        var role = new Argument<string>("role")
        {
            CustomParser = result =>
            {
                string text = result.Tokens[^1].Value;
                if (!WorkerHost.Roles.Contains(text)) result.AddError($"worker: '{text}' is not allowed; allowed: {string.Join(", ", WorkerHost.Roles)}");
                return text;
            },
        };
        var command = new Command("worker", "One of the job's processes.") { role };
        command.Hidden = true;
        command.SetAction(result => WorkerHost.RunAsync(result.GetValue(role)!));
        return command;
    }
}
