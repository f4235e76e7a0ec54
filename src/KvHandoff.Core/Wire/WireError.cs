namespace KvHandoff.Wire;

/// <summary>Why bytes from a peer were refused. The values are written to the wire in a Fault and never change their meaning.</summary>
public enum WireErrorCode : byte
{
    /// <summary>Nothing is wrong with the bytes: the connection closes for another reason.</summary>
    None = 0,

    /// <summary>The first bytes are not ours: the peer speaks another protocol, or the stream is out of step.</summary>
    BadMagic = 1,

    /// <summary>The peer speaks a version that this side does not.</summary>
    BadVersion = 2,

    /// <summary>A length contradicts another one or exceeds its bound.</summary>
    BadLength = 3,

    /// <summary>The checksum does not match the bytes.</summary>
    BadChecksum = 4,

    /// <summary>A field has a value that is not allowed, or fields are not in ascending order.</summary>
    BadValue = 5,

    /// <summary>A field that the message must have is not there.</summary>
    MissingField = 6,

    /// <summary>A field that the peer marked as required for understanding is not known here.</summary>
    UnknownRequiredField = 7,

    /// <summary>The bytes end early.</summary>
    Truncated = 8,
}

/// <summary>Why bytes from a peer were refused; the message names the value found and the value expected.</summary>
public sealed record WireError(WireErrorCode Code, string Message)
{
    internal static WireError Value(string field, object? value, string allowed) =>
        new(WireErrorCode.BadValue, $"{field} is {value}; allowed: {allowed}.");

    internal static WireError? Range(string field, long value, long low, long high) =>
        value < low || value > high ? Value(field, value, $"{low} to {high}") : null;

    internal static WireError Truncated(string what, long found, long expected) =>
        new(WireErrorCode.Truncated, $"{what} ends after {found} bytes; expected {expected}.");

    internal static WireError Magic(string what, uint found, uint expected) =>
        new(WireErrorCode.BadMagic, $"{what} starts with 0x{found:X8}; expected 0x{expected:X8}.");

    internal static WireError Version(string what, ushort found) =>
        new(WireErrorCode.BadVersion, $"{what} has version {found}; this side speaks version {WireConstants.Version}.");

    internal static WireError Checksum(string what, uint found, uint computed) =>
        new(WireErrorCode.BadChecksum, $"{what} carries CRC-32C 0x{found:X8}; computed 0x{computed:X8}.");
}
