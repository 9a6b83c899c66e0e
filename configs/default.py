"""The assignment, to the letter: 19,114 parameters, 20 epochs, Adam, a halved rate after 15."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the config of the assignment."""
    config = ConfigDict()

    # Root of every random number: initial weights, order of the images, augmentation, dropout.
    config.seed = 0

    # Name of the dataset: 'mnist'.
    config.dataset = "mnist"
    # Folder of the prepared datasets. Empty: what the environment variable TFDS_DATA_DIR says,
    # or else ~/tensorflow_datasets.
    config.data_dir = ""
    # Images to train on, as a tfds slice. 'train[:55000]' leaves the last 5,000 for validation.
    config.train_split = "train"
    # Images to test on after every epoch, as a tfds slice; 'train[55000:]' for validation.
    config.test_split = "test"

    # Images a step. The last step of an epoch takes what is left: 96 of
    # 60,000. A larger batch wants a larger learning_rate.
    config.batch_size = 128
    # Epochs: how often every training image is seen.
    config.num_epochs = 20

    # 'adam': optax.adam with PyTorch's defaults (b1 0.9, b2 0.999, eps 1e-8).
    config.optimizer = "adam"
    # Largest learning rate; without a warm-up that of the first step.
    config.learning_rate = 1e-3
    # What the learning rate does from there on.
    config.schedule = ConfigDict()
    # 'step': PyTorch's StepLR, changed between epochs; 'cosine': half a wave, in every step.
    config.schedule.kind = "step"
    # Of 'step': epochs from one change of the learning rate to the next.
    config.schedule.step_size = 15
    # Of 'step': factor of each change.
    config.schedule.gamma = 0.5
    # Of 'cosine': what is left of the learning rate at the end, as a share.
    config.schedule.end_factor = 0.0
    # Epochs, or a part of one, in which the learning rate rises evenly from 0 to what the
    # schedule says. Large batches and large learning rates need it.
    config.schedule.warmup_epochs = 0.0

    # The network, models.ConvNet.
    config.model = ConfigDict()
    # Its layers: a number is a convolution with that many features, 3x3, or KxK with kK behind
    # it, then batch norm and ReLU; 'pool' is 2x2 max pooling. Global average pooling and a
    # linear layer follow.
    config.model.architecture = "8 16 pool 16 32 pool 32 32k1"
    # Share of activations set to zero after each pooling and before global average pooling.
    config.model.dropout_rate = 0.05
    # Type of the activations and of the factors of every product: 'float32' or 'bfloat16'.
    # Parameters, sums, batch norm's statistics and the loss are float32 in any case.
    config.model.dtype = "float32"

    # torchvision's transforms, drawn anew for every image in every epoch, in this order.
    config.augment = ConfigDict()
    # RandomApply([CenterCrop(crop_size)], p=crop_probability): share of the images cropped.
    config.augment.crop_probability = 0.1
    # Side of the square that is cut out and resized to 28 again, in pixels.
    config.augment.crop_size = 22
    # RandomRotation(degrees): angles in [-degrees, degrees].
    config.augment.degrees = 10.0
    # ColorJitter(brightness, contrast), in random order: factors in [1 - x, 1 + x].
    config.augment.brightness = 0.2
    # As brightness.
    config.augment.contrast = 0.2
    # RandomAffine(0, translate): largest shift along each axis, as a share of the width; drawn
    # evenly, then rounded to whole pixels.
    config.augment.translate = 0.1
    # RandomAffine(scale): smallest factor of the size.
    config.augment.scale_min = 0.9
    # RandomAffine(scale): largest factor of the size.
    config.augment.scale_max = 1.1

    # Share of the test images to get right. A run says whether, and at which epoch, it did.
    config.target_accuracy = 0.994
    return config
