using System.CommandLine;
using KvHandoff.Gateway.Hosting;

RootCommand command = GatewayCommand.Create(settings => settings.Role is Role.All or Role.Gateway ? GatewayRun.RunAsync(settings) : WorkerRun.RunAsync(settings));
ParseResult parsed = command.Parse(args);
if (parsed.Errors.Count > 0)
{
    Console.Error.WriteLine(ArgumentRules.Explain(parsed));
    return 2;
}

// Signals are handled by the roles themselves: a gateway drains first.
return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
