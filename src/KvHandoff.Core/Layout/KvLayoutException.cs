namespace KvHandoff.Layout;

/// <summary>A cache description contradicts itself or another one; the message names the field and both values.</summary>
public sealed class KvLayoutException(string message) : Exception(message);
