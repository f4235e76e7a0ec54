namespace KvHandoff.Transport;

/// <summary>The copy out of a message of UCX's into memory that a caller gave by its address.</summary>
internal sealed unsafe partial class UcxInput
{
    private static void Copy(ReadOnlySpan<byte> bytes, nint address) => bytes.CopyTo(new Span<byte>((void*)address, bytes.Length));
}
