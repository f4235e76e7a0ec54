namespace KvHandoff.Numerics;

/// <summary>How the power of two of an MX group follows from its largest finite magnitude.</summary>
public enum MxRule : byte
{
    /// <summary>The smallest power of two that brings the magnitude to the largest code or below: nothing saturates.</summary>
    Ceiling,

    /// <summary>
    /// <c>2^(floor(log2 amax) - emax)</c> of the OCP Microscaling Formats specification 1.0, section 6.3: one bit finer for most
    /// groups, and magnitudes between the largest code and the next power of two saturate.
    /// </summary>
    Floor,
}
