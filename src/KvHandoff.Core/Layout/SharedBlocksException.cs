namespace KvHandoff.Layout;

/// <summary>A write was refused because it would change blocks that other sequences may read; the message names the tokens.</summary>
public sealed class SharedBlocksException(string message) : InvalidOperationException(message);
