using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace KvHandoff.Gateway.Hosting;

/// <summary>Options that know what they allow: every refusal is one line with the argument, the value and what is allowed.</summary>
internal static class ArgumentRules
{
    private static readonly ConditionalWeakTable<Option, string> Allowed = [];

    internal static Option<string?> Choice(string name, string description, params IReadOnlyList<string> allowed) =>
        Ruled<string?>(name, description, string.Join(", ", allowed), text => (allowed.Contains(text), text));

    internal static Option<long?> Number(string name, string description, long low, long high) =>
        Ruled<long?>(name, description, string.Create(CultureInfo.InvariantCulture, $"a whole number from {low} to {high}"),
            text => (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) && value >= low && value <= high, value));

    internal static Option<T?> Parsed<T>(string name, string description, string allowed, Func<string, (bool Ok, T? Value)> parse) where T : class => Ruled(name, description, allowed, parse);

    /// <summary>One line about the first thing that is wrong.</summary>
    internal static string Explain(ParseResult result)
    {
        ParseError error = result.Errors[0];
        if (error.SymbolResult is OptionResult { Tokens.Count: 0 } missing) return $"{missing.Option.Name}: no value was given; allowed: {(Allowed.TryGetValue(missing.Option, out string? allowed) ? allowed : "see --help")}";
        if (result.UnmatchedTokens.Count > 0) return $"'{result.UnmatchedTokens[0]}' is not an argument; allowed: {string.Join(", ", result.CommandResult.Command.Options.Where(o => !o.Hidden).Select(o => o.Name))}";
        return error.Message.ReplaceLineEndings(" ");
    }

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
                if (ok) return value;
                result.AddError($"{name}: '{text}' is not allowed; allowed: {allowed}");
                return default!;
            },
        };
        Allowed.Add(option, allowed);
        return option;
    }
}
