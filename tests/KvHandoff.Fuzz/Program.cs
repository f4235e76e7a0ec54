using System.Globalization;
using KvHandoff.Session;

namespace KvHandoff.Fuzz;

/// <summary>The fault lab's command line.</summary>
internal static class Program
{
    private const string Usage = """
        usage: KvHandoff.Fuzz [options]
          --seed N             equal seeds give equal cases (1)
          --cases N            handoffs to make (2000)
          --first N            number of the first one (0): with --cases 1 one that was reported, alone
          --seconds N          ends earlier after so many seconds
          --transport T        loopback, tcp, unix, shm or ucx (loopback)
          --without GUARD      takes away fences, checksums or quarantine: what they guard against then happens, and the exit code is 1
          --repeat             runs the seed twice and compares case by case
          --parsers SECONDS    damaged bytes for every parser instead of handoffs
          --kills N            kills one of two processes N times instead
          --soak SECONDS       the lab again and again, watching memory and descriptors
          --json FILE          writes the sums
        exit code: 0 all promises kept, 1 one was broken, 2 wrong arguments
        """;

    private static readonly string[] TransportNames = ["loopback", "tcp", "unix", "shm", "ucx"];

    internal static async Task<int> Main(string[] args)
    {
        if (args.Contains("--help"))
        {
            Console.WriteLine(Usage);
            return 0;
        }

        if (Read(args, out LabOptions options, out Dictionary<string, string> other) is { } wrong)
        {
            Console.Error.WriteLine(wrong);
            return 2;
        }

        if (other.TryGetValue("--role", out string? role)) return await KillRoles.RunAsync(role, other.GetValueOrDefault("--endpoint", ""));
        if (other.TryGetValue("--parsers", out string? seconds)) return ParserFuzz.Run(options.Seed, TimeSpan.FromSeconds(int.Parse(seconds, CultureInfo.InvariantCulture)), Console.WriteLine) ? 0 : 1;
        if (other.TryGetValue("--kills", out string? kills)) return await KillDriver.RunAsync(int.Parse(kills, CultureInfo.InvariantCulture), options.Seed, Console.WriteLine) ? 0 : 1;
        if (other.TryGetValue("--soak", out string? soak)) return await Soak.RunAsync(TimeSpan.FromSeconds(int.Parse(soak, CultureInfo.InvariantCulture)), options, Console.WriteLine) ? 0 : 1;
        return await RunLabAsync(options, other);
    }

    private static async Task<int> RunLabAsync(LabOptions options, Dictionary<string, string> other)
    {
        FaultLab lab = await FaultLab.RunAsync(options);
        if (other.ContainsKey("--repeat"))
        {
            FaultLab again = await FaultLab.RunAsync(options);
            for (int i = 0; i < Math.Min(lab.Results.Count, again.Results.Count); i++)
            {
                if (lab.Results[i].Outcome != again.Results[i].Outcome) lab.Failures.Add($"case {options.First + i}: {lab.Results[i].Outcome}, and the second time {again.Results[i].Outcome}");
            }
        }

        string json = lab.ToJson().ToJsonString(new System.Text.Json.JsonSerializerOptions { WriteIndented = true });
        if (other.TryGetValue("--json", out string? file)) await File.WriteAllTextAsync(file, json);
        Console.WriteLine(json);
        foreach (string failure in lab.Failures) Console.Error.WriteLine(failure);
        return lab.Failures.Count == 0 ? 0 : 1;
    }

    private static string? Read(string[] args, out LabOptions options, out Dictionary<string, string> other)
    {
        options = new LabOptions { Report = Console.Error.WriteLine };
        other = [];
        for (int i = 0; i < args.Length; i++)
        {
            string name = args[i];
            if (name == "--repeat")
            {
                other[name] = "";
                continue;
            }

            if (i + 1 >= args.Length) return $"{name}: unknown, or without its value; --help lists the options";
            string value = args[++i];
            bool whole = long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number);
            switch (name)
            {
                case "--seed" when whole:
                    options = options with { Seed = (ulong)number };
                    break;
                case "--cases" when whole && number is >= 1 and <= 100_000_000:
                    options = options with { Cases = (int)number };
                    break;
                case "--first" when whole && number <= 100_000_000:
                    options = options with { First = (int)number };
                    break;
                case "--seconds" when whole && number is >= 1 and <= 1_000_000:
                    options = options with { Limit = TimeSpan.FromSeconds(number), Cases = args.Contains("--cases") ? options.Cases : int.MaxValue };
                    break;
                case "--transport" when TransportNames.Contains(value):
                    options = options with { Transport = value };
                    break;
                case "--without" when Enum.TryParse(value, ignoreCase: true, out Guards guard) && !whole && guard != Guards.None:
                    // Blocks that a peer can write by itself exist over shared memory only.
                    options = options with { Without = guard, Transport = guard == Guards.Quarantine ? "shm" : options.Transport };
                    break;
                case "--parsers" or "--kills" or "--soak" when whole && number is >= 1 and <= 1_000_000:
                case "--json" or "--role" or "--endpoint":
                    other[name] = value;
                    break;
                default:
                    return $"{name} {value}: not an option with such a value; --help lists what is allowed";
            }
        }

        return null;
    }
}
