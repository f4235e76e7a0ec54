namespace KvHandoff.Bench.Commands;

/// <summary>What the program's exit code says.</summary>
internal static class ExitCodes
{
    /// <summary>Done, and everything measured holds.</summary>
    internal const int Success = 0;

    /// <summary>A measured failure: tokens differ, bytes differ, a worker died.</summary>
    internal const int Failure = 1;

    /// <summary>Wrong arguments or unusable input.</summary>
    internal const int BadArguments = 2;

    /// <summary>Interrupted, as shells report SIGINT.</summary>
    internal const int Interrupted = 130;
}
