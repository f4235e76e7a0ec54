using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace KvHandoff.Bench.Commands;

/// <summary>
/// Options that know what they allow, so that every refusal reads the same: argument, value, what is allowed, on one line.
/// </summary>
internal static class ArgumentRules
{
    /// <summary>One of some names.</summary>
    internal static Option<string?> Choice(string name, string description, params IReadOnlyList<string> allowed) =>
        Ruled<string?>(name, description, string.Join(", ", allowed), text => allowed.Contains(text) ? (true, text) : (false, null));

    /// <summary>Several of some names, separated by commas.</summary>
    internal static Option<string[]?> Choices(string name, string description, params IReadOnlyList<string> allowed) =>
        Ruled<string[]?>(name, description, $"one or more of {string.Join(", ", allowed)}, separated by commas", text =>
        {
            string[] parts = text.Split(',');
            return parts.All(allowed.Contains) && parts.Distinct().Count() == parts.Length ? (true, parts) : (false, null);
        });

    /// <summary>A whole number in a range.</summary>
    internal static Option<int?> Number(string name, string description, int low, int high) =>
        Ruled<int?>(name, description, string.Create(CultureInfo.InvariantCulture, $"a whole number from {low} to {high}"),
            text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= low && value <= high ? (true, value) : (false, null));

    /// <summary>A path that is not empty and names no directory.</summary>
    internal static Option<string?> File(string name, string description) =>
        Ruled<string?>(name, description, "the path of a file", text => text.Length > 0 && !Directory.Exists(text) ? (true, text) : (false, null));

    /// <summary>A path that is not empty and names no file.</summary>
    internal static Option<string?> Folder(string name, string description) =>
        Ruled<string?>(name, description, "the path of a directory, which is made if it does not exist", text => text.Length > 0 && !System.IO.File.Exists(text) ? (true, text) : (false, null));

    /// <summary>One line about the first thing that is wrong with a command line.</summary>
    internal static string Explain(ParseResult result)
    {
        ParseError error = result.Errors[0];
        if (error.SymbolResult is OptionResult { Tokens.Count: 0 } missing) return $"{missing.Option.Name}: no value was given; allowed: {AllowedBy(missing.Option)}";
        if (result.UnmatchedTokens.Count > 0)
        {
            Command command = result.CommandResult.Command;
            IEnumerable<string> names = command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name).Concat(command.Options.Where(o => !o.Hidden).Select(o => o.Name));
            return $"'{result.UnmatchedTokens[0]}' is not an argument of {command.Name}; allowed: {string.Join(", ", names)}";
        }

        return error.Message.ReplaceLineEndings(" ");
    }

    private static string AllowedBy(Option option) => Allowed.TryGetValue(option, out string? allowed) ? allowed : "see --help";

    private static readonly System.Runtime.CompilerServices.ConditionalWeakTable<Option, string> Allowed = [];

    private static Option<T> Ruled<T>(string name, string description, string allowed, Func<string, (bool Ok, T Value)> parse)
    {
        var option = new Option<T>(name)
        {
            Description = $"{description} Allowed: {allowed}.",
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result =>
            {
                string text = result.Tokens[^1].Value;
                (bool ok, T value) = parse(text);
                if (!ok) result.AddError($"{name}: '{text}' is not allowed; allowed: {allowed}");
                return value;
            },
        };
        Allowed.Add(option, allowed);
        return option;
    }
}
