namespace KvHandoff.Wire;

/// <summary>Number of a control message on the wire; never changes its meaning.</summary>
public enum ControlMessageType : byte
{
    /// <summary><see cref="Wire.Hello"/>, sender to receiver.</summary>
    Hello = 1,

    /// <summary><see cref="Wire.Welcome"/>, receiver to sender.</summary>
    Welcome = 2,

    /// <summary><see cref="Wire.Offer"/>, sender to receiver.</summary>
    Offer = 3,

    /// <summary><see cref="Wire.Grant"/>, receiver to sender.</summary>
    Grant = 4,

    /// <summary><see cref="Wire.Reject"/>, receiver to sender.</summary>
    Reject = 5,

    /// <summary><see cref="Wire.Finish"/>, sender to receiver.</summary>
    Finish = 6,

    /// <summary><see cref="Wire.Committed"/>, receiver to sender.</summary>
    Committed = 7,

    /// <summary><see cref="Wire.Abort"/>, either way.</summary>
    Abort = 8,

    /// <summary><see cref="Wire.Renew"/>, sender to receiver to ask, receiver to sender to confirm.</summary>
    Renew = 9,

    /// <summary><see cref="Wire.Query"/>, sender to receiver.</summary>
    Query = 10,

    /// <summary><see cref="Wire.Outcome"/>, receiver to sender.</summary>
    Outcome = 11,

    /// <summary><see cref="Wire.Fault"/>, either way, before the connection closes.</summary>
    Fault = 12,

    /// <summary><see cref="Wire.Released"/>, sender to receiver.</summary>
    Released = 13,

    /// <summary><see cref="Wire.Prepared"/>, receiver to the receiver that commits for their group.</summary>
    Prepared = 14,

    /// <summary><see cref="Wire.Decision"/>, the answer to it.</summary>
    Decision = 15,
}

/// <summary>A message of the control connection. Immutable; equal when all contents are equal.</summary>
public abstract record ControlMessage
{
    private protected ControlMessage()
    {
    }

    /// <summary>Number of the message on the wire.</summary>
    public abstract ControlMessageType Type { get; }

    /// <summary>Null when every field is in range. What is written and what is read pass the same check.</summary>
    public virtual WireError? Check() => null;

    internal abstract void WriteFields(FieldWriter fields);
}
