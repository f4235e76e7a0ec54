using System.Globalization;

namespace KvHandoff.Model.Checkpoint;

/// <summary>A checkpoint that cannot be loaded. The message names the file, where in it, what was expected and what was found.</summary>
public sealed class CheckpointException : Exception
{
    /// <summary>A failure in <paramref name="file"/>.</summary>
    /// <param name="file">The file as it was opened.</param>
    /// <param name="what">The part of it, such as a tensor's or a field's name.</param>
    /// <param name="expected">What is allowed there.</param>
    /// <param name="actual">What was found.</param>
    /// <param name="offsetBytes">Offset in the file, where there is one.</param>
    /// <param name="inner">The parser's own failure, if it was one.</param>
    public CheckpointException(string file, string what, string expected, string actual, long? offsetBytes = null, Exception? inner = null)
        : base(Describe(file, what, expected, actual, offsetBytes), inner)
    {
        File = file;
        What = what;
        Expected = expected;
        Actual = actual;
        OffsetBytes = offsetBytes;
    }

    /// <summary>The file.</summary>
    public string File { get; }

    /// <summary>The part of the file.</summary>
    public string What { get; }

    /// <summary>What is allowed there.</summary>
    public string Expected { get; }

    /// <summary>What was found.</summary>
    public string Actual { get; }

    /// <summary>Offset in the file, where there is one.</summary>
    public long? OffsetBytes { get; }

    private static string Describe(string file, string what, string expected, string actual, long? offsetBytes)
    {
        string where = offsetBytes is { } at ? string.Create(CultureInfo.InvariantCulture, $" at byte {at}") : "";
        return $"{file}{where}: {what}: expected {expected}, found {actual}.";
    }
}
