namespace KvHandoff.Layout;

/// <summary>
/// Which model a cache belongs to. Two caches fit together only if all of it is equal: a cache of other weights or another
/// rotary embedding is the right shape with the wrong content.
/// </summary>
/// <param name="Name">Human-readable name, at most 200 characters.</param>
/// <param name="Revision">Hash of the weights, as the host defines it (the model runtime here: SHA-256 of the weights file, hex).</param>
/// <param name="RopeTheta">Base of the rotary embedding already applied to the keys; 0 when keys are stored unrotated.</param>
/// <param name="RopeScaling">Name and parameters of the rope scaling, empty when there is none.</param>
public sealed record ModelIdentity(string Name, string Revision, double RopeTheta, string RopeScaling = "")
{
    /// <summary>Longest string that a field may hold, in characters.</summary>
    public const int MaxFieldLength = 200;

    /// <summary>Throws when a field is missing or too long.</summary>
    /// <exception cref="KvLayoutException">The message names the field.</exception>
    public void Validate()
    {
        Check(nameof(Name), Name, 1);
        Check(nameof(Revision), Revision, 1);
        Check(nameof(RopeScaling), RopeScaling, 0);
        if (!double.IsFinite(RopeTheta) || RopeTheta < 0) throw new KvLayoutException($"RopeTheta is {RopeTheta}; allowed: 0 or a finite positive number.");
    }

    private static void Check(string field, string? value, int least)
    {
        int length = value?.Length ?? 0;
        if (value is null || length < least || length > MaxFieldLength)
            throw new KvLayoutException($"{field} has {length} characters; allowed: {least} to {MaxFieldLength}.");
    }
}
